"""From a name in the settings to verified files, with small files in place of a model's."""

import hashlib
from pathlib import Path

import pytest

from tests.speech import PROJECT
from transcriber_worker.domain.errors import WorkerBroken
from transcriber_worker.inference import model_files
from transcriber_worker.inference.model_catalogue import CATALOGUE, WEIGHTS, NamedModel
from transcriber_worker.inference.model_files import all_but_weights, resolve
from transcriber_worker.inference.model_sources import Fetch, SourceFailed
from transcriber_worker.settings import ModelSettings

CONTENT = {WEIGHTS: b"weights", "config.json": b"{}", "tokenizer.json": b"[]"}
DIGESTS = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()}
TOY = NamedModel("nobody/toy", "0" * 40, 7, 0, DIGESTS)


def write(folder: Path, content: dict[str, bytes] = CONTENT) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in content.items():
        (folder / name).write_bytes(data)


def working(model: NamedModel, folder: Path) -> None:
    write(folder)


def failing(model: NamedModel, folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"half")
    raise SourceFailed("no hub here")


def lying(model: NamedModel, folder: Path) -> None:
    write(folder, CONTENT | {"tokenizer.json": b"[1]"})


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelSettings:
    monkeypatch.setattr(model_files, "CATALOGUE", {"toy": TOY})
    return ModelSettings(name="toy", cache_dir=tmp_path / "cache")


def test_a_missing_model_is_fetched_verified_and_kept(settings: ModelSettings) -> None:
    lines: list[str] = []
    found = resolve(settings, lines.append, {"hub": working})
    assert (found.name, found.path, found.sha256) == ("toy", settings.cache_dir / "toy", DIGESTS[WEIGHTS])
    assert any("fetching toy" in line for line in lines)
    assert resolve(settings, lines.append, {}) == found  # no source is needed any more


def test_the_next_source_is_tried_and_what_the_first_left_behind_does_not_count(settings: ModelSettings) -> None:
    resolve(settings, print, {"hub": failing, "package": working})
    assert sorted(path.name for path in settings.cache_dir.iterdir()) == [".toy.lock", "toy"]
    assert (settings.cache_dir / "toy" / WEIGHTS).read_bytes() == CONTENT[WEIGHTS]


@pytest.mark.parametrize(
    ("fetch", "reason"), [(failing, "no hub here"), (lying, r"tokenizer\.json has the SHA-256 .*, expected")]
)
def test_without_a_source_that_has_the_model_it_says_what_to_do(
    settings: ModelSettings, fetch: Fetch, reason: str
) -> None:
    with pytest.raises(WorkerBroken, match=rf"can't be fetched: .*{reason}.*Put its files into .*toy"):
        resolve(settings, print, {"hub": fetch})
    assert not (settings.cache_dir / "toy").exists()


def test_only_the_source_that_was_asked_for_is_used(settings: ModelSettings) -> None:
    only = settings.model_copy(update={"source": "package"})
    with pytest.raises(WorkerBroken, match="can't be fetched"):
        resolve(only, print, {"hub": working, "package": failing})


def test_offline_nothing_is_fetched(settings: ModelSettings) -> None:
    with pytest.raises(WorkerBroken, match=r"model\.offline"):
        resolve(settings.model_copy(update={"offline": True}), print, {"hub": working})


@pytest.mark.parametrize("name", sorted(CONTENT))
def test_a_cached_file_that_changed_or_vanished_is_noticed_at_every_start(settings: ModelSettings, name: str) -> None:
    resolve(settings, print, {"hub": working})
    path = settings.cache_dir / "toy" / name
    path.write_bytes(b"tampered")
    with pytest.raises(WorkerBroken, match=r"has the SHA-256 .*remove .*toy to fetch it again"):
        resolve(settings, print, {"hub": working})
    path.unlink()
    with pytest.raises(WorkerBroken, match=r"can't be read.*remove .*toy to fetch it again"):
        resolve(settings, print, {"hub": working})


def test_all_but_the_weights_is_verified_where_they_are_not_wanted(settings: ModelSettings) -> None:
    folder = all_but_weights(settings, print, {"hub": working})
    (folder / "model.bin").unlink()
    assert all_but_weights(settings, print, {}) == folder
    (folder / "config.json").write_bytes(b"{1}")
    with pytest.raises(WorkerBroken, match=r"config\.json has the SHA-256"):
        all_but_weights(settings, print, {})


def test_a_digest_in_the_settings_goes_before_the_known_one(settings: ModelSettings) -> None:
    with pytest.raises(WorkerBroken, match="expected " + "0" * 64):
        resolve(settings.model_copy(update={"sha256": "0" * 64}), print, {"hub": working})
    found = resolve(settings.model_copy(update={"sha256": DIGESTS[WEIGHTS].upper()}), print, {"hub": working})
    assert found.sha256 == DIGESTS[WEIGHTS]


def test_what_a_killed_fetch_left_is_cleared_away(settings: ModelSettings) -> None:
    write(settings.cache_dir / ".fetching-toy-dead" / "toy")
    resolve(settings, print, {"hub": working})
    assert not (settings.cache_dir / ".fetching-toy-dead").exists()


def test_a_cache_that_cannot_be_written_is_named(settings: ModelSettings) -> None:
    settings.cache_dir.write_text("a file where the folder should be")
    with pytest.raises(WorkerBroken, match=r"model\.cache_dir"):
        resolve(settings, print, {"hub": working})


def test_a_directory_needs_a_digest_and_says_how_to_get_it(tmp_path: Path) -> None:
    write(tmp_path / "mine")
    settings = ModelSettings(name=str(tmp_path / "mine"))
    with pytest.raises(WorkerBroken, match=r"model\.sha256: required.*sha256sum .*mine/model\.bin"):
        resolve(settings, print)
    with pytest.raises(WorkerBroken, match=r"has the SHA-256 .*set model\.sha256"):
        resolve(settings.model_copy(update={"sha256": "0" * 64}), print)
    found = resolve(settings.model_copy(update={"sha256": DIGESTS[WEIGHTS]}), print)
    assert (found.name, found.path, found.sha256) == ("mine", tmp_path / "mine", DIGESTS[WEIGHTS])


@pytest.mark.parametrize("missing", sorted(CONTENT))
def test_a_directory_that_is_no_model_is_refused(tmp_path: Path, missing: str) -> None:
    """Without its tokenizer, faster-whisper would quietly fetch one from the hub."""
    write(tmp_path / "mine", {name: data for name, data in CONTENT.items() if name != missing})
    with pytest.raises(WorkerBroken, match=f"holds no {missing}"):
        resolve(ModelSettings(name=str(tmp_path / "mine"), sha256=DIGESTS[WEIGHTS]), print)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(WorkerBroken, match=r"'larg-v3' is no known model.*large-v3-turbo"):
        resolve(ModelSettings(name="larg-v3"), print)


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_every_file_of_every_named_model_is_pinned(name: str) -> None:
    model = CATALOGUE[name]
    assert {WEIGHTS, "config.json", "tokenizer.json"} < set(model.digests)
    assert all(len(digest) == 64 and int(digest, 16) for digest in model.digests.values())
    assert len(model.revision) == 40
    if name.startswith(("large-v3", "distil")):
        assert "preprocessor_config.json" in model.digests  # 128 mel bands, which nothing else says
    if model.packaged:
        assert set(model.packaged.members) == set(model.digests)


def test_the_manual_lists_every_named_model_with_its_revision() -> None:
    manual = (PROJECT / "docs" / "models.md").read_text()
    for name, model in CATALOGUE.items():
        assert f"| `{name}` | {model.repository} | `{model.revision[:8]}` |" in manual
