"""A URL leads nowhere but where it may: addresses are vetted and kept, redirects are checked like the first URL."""

import itertools
import ssl
import traceback

import pytest

from tests.https_origin import HOST, OTHER_HOST, PUBLIC, PUBLIC_V6, Handler, Internet, Stored, serving
from transcriber_worker.domain.clock import ManualClock
from transcriber_worker.domain.errors import EnvironmentDown, Reason, RejectJob, RetryJob
from transcriber_worker.domain.uri import ObjectUri
from transcriber_worker.storage.base import ObjectNotFound
from transcriber_worker.storage.https import HttpsStore
from transcriber_worker.storage.https_exchange import MOST_REDIRECTS
from transcriber_worker.storage.https_network import MOST_ADDRESSES, VettedNetwork

PATH = "/public/call.wav"


@pytest.fixture(autouse=True)
def call(internet: Internet) -> Stored:
    internet.origin.objects[PATH] = stored = Stored(b"speech")
    return stored


def refusal(store: HttpsStore, uri: ObjectUri) -> RejectJob:
    with pytest.raises(RejectJob) as caught:
        store.head(uri)
    return caught.value


class TestAddresses:
    def test_the_connection_goes_to_the_vetted_address_under_the_name(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri
    ) -> None:
        store.head(uri)

        assert internet.dialler.dialled == [PUBLIC]
        assert internet.origin.server_names == [HOST]
        assert [asked.host for asked in internet.origin.asked] == [HOST]

    @pytest.mark.parametrize(
        "answers", [["127.0.0.1"], [PUBLIC, "10.0.0.8"], ["10.0.0.8", PUBLIC], [PUBLIC_V6, "fd00:ec2::254"],
                    ["169.254.169.254"], ["::ffff:127.0.0.1"], ["no address"]],
    )  # fmt: skip
    def test_one_private_address_is_one_too_many(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, answers: list[str]
    ) -> None:
        internet.names.answers[HOST] = [answers]

        error = refusal(store, uri)

        assert error.reason is Reason.SOURCE_NOT_ALLOWED
        assert "private, local or reserved" in error.message
        assert all(answer not in error.message for answer in answers), "our network is no publisher's business"
        assert internet.dialler.dialled == []

    def test_a_name_that_means_something_else_a_moment_later_changes_nothing(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri
    ) -> None:
        """DNS rebinding: the first answer is for those who vet, the second for those who connect."""
        internet.names.answers[HOST] = [[PUBLIC], ["127.0.0.1"]]

        assert store.head(uri).size_bytes == 6
        assert (internet.names.asked, internet.dialler.dialled) == ([HOST], [PUBLIC])

        assert refusal(store, uri).reason is Reason.SOURCE_NOT_ALLOWED
        assert internet.dialler.dialled == [PUBLIC]

    def test_every_connection_is_vetted_anew(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """A download that is resumed over a new connection included."""
        body = b"speech" * 1000

        def breaks(handler: Handler) -> None:
            handler.begin(200, {"ETag": '"1"', "Content-Length": str(len(body))})
            handler.raw(body[:100])

        internet.origin.scripts[PATH] = breaks
        internet.names.answers[HOST] = [[PUBLIC], ["127.0.0.1"]]
        folder = tmp_path_factory.mktemp("scratch")

        with pytest.raises(RejectJob):
            store.download(uri, folder / "source", etag='"1"')

        assert internet.dialler.dialled == [PUBLIC]
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize(
        "host", ["127.0.0.1", "169.254.169.254", "[::1]", "[::ffff:10.0.0.1]", "[fd00:ec2::254]", "10.1.2.3"]
    )
    def test_an_address_in_the_url_is_vetted_even_where_it_is_allowed(
        self, internet: Internet, clock: ManualClock, host: str
    ) -> None:
        internet.names.answers = {literal: [[literal]] for literal in (host.strip("[]"),)}
        store = internet.store(clock, [f"https://{host}/"])

        assert "private" in refusal(store, ObjectUri.parse(f"https://{host}/call.wav")).message

    @pytest.mark.parametrize("spelling", ["2130706433", "0x7f000001", "017700000001", "127.1", "localhost"])
    def test_other_spellings_of_loopback_are_vetted_by_what_the_system_takes_them_for(
        self, internet: Internet, clock: ManualClock, spelling: str
    ) -> None:
        allowed = [ObjectUri.parse(f"https://{spelling}/")]
        network = VettedNetwork(dial=internet.dialler)  # with the system's own resolver
        store = HttpsStore(
            allowed, 5.0, clock, max_bytes=100, download_timeout_s=1200.0, network=network, tls=internet.origin.trust()
        )

        with pytest.raises((RejectJob, RetryJob)):
            store.head(ObjectUri.parse(f"https://{spelling}/call.wav"))
        assert internet.dialler.dialled == []

    def test_a_dead_address_gives_way_to_the_next(self, internet: Internet, store: HttpsStore, uri: ObjectUri) -> None:
        internet.names.answers[HOST] = [[PUBLIC_V6, PUBLIC]]
        internet.dialler.dead = {PUBLIC_V6}

        assert store.head(uri).size_bytes == 6
        assert internet.dialler.dialled == [PUBLIC_V6, PUBLIC]

    def test_a_host_with_hundreds_of_dead_addresses_is_down_after_a_few(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri
    ) -> None:
        addresses = [f"93.184.216.{n}" for n in range(200)]
        internet.names.answers[HOST] = [addresses]
        internet.dialler.dead = set(addresses)

        with pytest.raises(EnvironmentDown, match="can't be reached"):
            store.head(uri)
        assert len(internet.dialler.dialled) == MOST_ADDRESSES

    def test_an_unknown_name_is_the_jobs_own_trouble(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri
    ) -> None:
        del internet.names.answers[HOST]

        with pytest.raises(RetryJob, match=f"no host named {HOST}"):
            store.head(uri)

    def test_proxies_of_the_environment_are_not_asked(
        self, store: HttpsStore, uri: ObjectUri, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")

        assert store.head(uri).size_bytes == 6


class TestCertificates:
    def test_an_authority_that_is_not_trusted_is_told(
        self, internet: Internet, clock: ManualClock, uri: ObjectUri
    ) -> None:
        network = VettedNetwork(internet.names, internet.dialler)
        allowed = [ObjectUri.parse(f"https://{HOST}/")]
        store = HttpsStore(
            allowed,
            5.0,
            clock,
            max_bytes=100,
            download_timeout_s=1200.0,
            network=network,
            tls=ssl.create_default_context(),
        )

        with pytest.raises(RetryJob, match=f"the certificate of https://{HOST} is not valid"):
            store.head(uri)
        assert internet.origin.asked == []

    def test_a_certificate_for_another_name_is_refused(self, clock: ManualClock, uri: ObjectUri) -> None:
        with serving(hosts=(OTHER_HOST,)) as elsewhere:
            internet = Internet(elsewhere)

            with pytest.raises(RetryJob, match="certificate"):
                internet.store(clock).head(uri)
            assert elsewhere.asked == []

    def test_a_host_by_its_address_needs_a_certificate_for_the_address(self, clock: ManualClock) -> None:
        with serving(hosts=(PUBLIC, PUBLIC_V6)) as origin:
            origin.objects["/a.wav"] = Stored(b"12345")
            internet = Internet(origin)
            internet.names.answers = {PUBLIC: [[PUBLIC]], PUBLIC_V6: [[PUBLIC_V6]]}
            hosts = (PUBLIC, f"[{PUBLIC_V6}]")
            store = internet.store(clock, [f"https://{host}/" for host in hosts])

            for host in hosts:
                assert store.head(ObjectUri.parse(f"https://{host}/a.wav")).size_bytes == 5
            assert [asked.host for asked in origin.asked] == list(hosts)


class TestUrls:
    @pytest.mark.parametrize(
        "url",
        [
            f"https://{OTHER_HOST}/public/call.wav",
            f"https://{HOST}:8443/public/call.wav",
            f"https://{HOST}./public/call.wav",
            f"https://{HOST}/publicity/call.wav",
            f"https://{HOST}/Public/call.wav",
            f"https://{HOST}/public%2fcall.wav",
            f"https://{HOST}/?x=/public/call.wav",
            f"https://{HOST}/public/..;/secret.wav",
            f"https://{HOST}/public/..\\secret.wav",
            f"https://{HOST}/public/%5c..%5csecret.wav",
            f"https://{HOST}/public/%252e%252e/secret.wav",
            f"https://{HOST}/public/%25252e%25252e%25252fsecret.wav",
        ],
    )
    def test_what_is_not_below_an_allowed_prefix_is_not_asked_for(
        self, internet: Internet, store: HttpsStore, url: str
    ) -> None:
        assert refusal(store, ObjectUri.parse(url)).reason is Reason.SOURCE_NOT_ALLOWED
        assert internet.names.asked == []

    @pytest.mark.parametrize(
        "uri",
        [
            ObjectUri("file", "", "etc/passwd"),
            ObjectUri("https", "user:word@files.example.com", "public/a.wav"),
            ObjectUri("https", "files.example.com\r\nX-Evil: 1", "public/a.wav"),
            ObjectUri("https", "bücher.example", "public/a.wav"),
        ],
    )
    def test_a_host_that_is_none_is_refused(self, internet: Internet, clock: ManualClock, uri: ObjectUri) -> None:
        store = internet.store(clock, [f"https://{HOST}/"])
        store._allowed.append(ObjectUri(uri.scheme, uri.authority, ""))

        assert "ASCII" in refusal(store, uri).message

    def test_odd_names_reach_the_host_as_they_were_written(self, internet: Internet, store: HttpsStore) -> None:
        names = ["with%20space.wav", "%E6%96%87.mp3", "50%25.wav", "a+b&c=d;e'f.wav", "...three.wav", "a//b.wav", "~x"]
        for name in names:
            internet.origin.objects[f"/public/{name}"] = Stored(b"odd")

        assert {store.head(ObjectUri.parse(f"https://{HOST}/public/{name}")).size_bytes for name in names} == {3}

    def test_letters_beyond_ascii_are_encoded(self, internet: Internet, store: HttpsStore) -> None:
        internet.origin.objects["/public/%E6%96%87%20x.mp3"] = Stored(b"odd")

        assert store.head(ObjectUri.parse(f"https://{HOST}/public/文 x.mp3")).size_bytes == 3

    def test_a_folder_is_no_object(self, internet: Internet, store: HttpsStore) -> None:
        with pytest.raises(ObjectNotFound):
            store.head(ObjectUri.parse(f"https://{HOST}/public/"))
        assert internet.origin.asked == []


class TestRedirects:
    def redirect(self, internet: Internet, path: str, location: str | None, status: int = 302) -> None:
        internet.origin.scripts[path] = lambda handler: handler.answer(status, {"Location": location})

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    @pytest.mark.parametrize("location", ["/public/there.wav?t=1", f"https://{HOST}/public/there.wav", "there.wav"])
    def test_one_to_an_allowed_place_is_followed(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, status: int, location: str
    ) -> None:
        internet.origin.objects["/public/there.wav"] = Stored(b"there is more")
        self.redirect(internet, PATH, location, status)

        assert store.head(uri).size_bytes == 13
        assert store.read(uri)[0] == b"there is more"

    def test_another_allowed_host_is_resolved_and_vetted_for_itself(
        self, internet: Internet, clock: ManualClock, uri: ObjectUri
    ) -> None:
        store = internet.store(clock, [f"https://{HOST}/public/", f"https://{OTHER_HOST}/"])
        internet.origin.objects["/mirror/call.wav"] = Stored(b"mirrored")
        self.redirect(internet, PATH, f"https://{OTHER_HOST}/mirror/call.wav")

        assert store.head(uri).size_bytes == 8
        assert internet.origin.server_names == [HOST, OTHER_HOST]

        internet.names.answers[OTHER_HOST] = [["192.168.1.1"]]
        dialled = len(internet.dialler.dialled)
        error = refusal(store, uri)
        assert (error.reason, f"https://{OTHER_HOST}" in error.message) == (Reason.SOURCE_NOT_ALLOWED, True)
        assert len(internet.dialler.dialled) == dialled + 1, "the redirecting host alone"

    @pytest.mark.parametrize(
        "location",
        [
            "http://files.example.com/public/call.wav",
            "http://169.254.169.254/latest/meta-data/",
            "https://169.254.169.254/public/call.wav",
            "https://localhost/public/call.wav",
            f"https://{OTHER_HOST}/public/call.wav",
            f"https://user:word@{HOST}/public/call.wav",
            f"https://{HOST}@evil.example/public/x",
            f"//{OTHER_HOST}/public/call.wav",
            f"https://{HOST}:22/public/call.wav",
            f"https://{HOST}/secret.wav",
            "../secret.wav",
            "/public/%2e%2e/secret.wav",
            "/public/%252e%252e/secret.wav",
            "file:///etc/passwd",
            "oci://bucket@namespace/call.wav",
            "ftp://files.example.com/public/call.wav",
            "javascript:alert(1)",
            "https://[::1/",
            "",
            None,
        ],
    )
    def test_one_to_anywhere_else_is_refused_and_not_asked(
        self, internet: Internet, store: HttpsStore, uri: ObjectUri, location: str | None
    ) -> None:
        self.redirect(internet, PATH, location)

        error = refusal(store, uri)

        assert error.reason is Reason.SOURCE_NOT_ALLOWED
        assert internet.names.asked == [HOST]
        assert len(internet.origin.asked) == 1

    def test_a_loop_ends(self, internet: Internet, store: HttpsStore, uri: ObjectUri) -> None:
        self.redirect(internet, PATH, str(uri))

        assert f"more than {MOST_REDIRECTS} times" in refusal(store, uri).message
        assert len(internet.origin.asked) == 1 + MOST_REDIRECTS

    def test_the_longest_chain_that_is_followed(self, internet: Internet, store: HttpsStore, uri: ObjectUri) -> None:
        hops = [PATH, *(f"/public/hop-{n}" for n in range(MOST_REDIRECTS))]
        for here, there in itertools.pairwise(hops):
            self.redirect(internet, here, there)
        internet.origin.objects[hops[-1]] = Stored(b"at last")

        assert store.read(uri)[0] == b"at last"

    def test_nothing_is_carried_along(self, internet: Internet, clock: ManualClock, uri: ObjectUri) -> None:
        store = internet.store(clock, [f"https://{HOST}/public/", f"https://{OTHER_HOST}/"])
        internet.origin.objects["/there.wav"] = Stored(b"there")
        cookie = {"Location": f"https://{OTHER_HOST}/there.wav", "Set-Cookie": "session=1; Domain=example.net"}
        internet.origin.scripts[PATH] = lambda handler: handler.answer(302, cookie)

        store.head(uri)
        store.head(uri)

        told = {name.lower() for asked in internet.origin.asked for name in asked.headers}
        assert told == {"host", "user-agent", "accept", "accept-encoding"}
        assert {asked.headers["Accept-Encoding"] for asked in internet.origin.asked} == {"identity"}


@pytest.mark.parametrize("fault", ["status", "redirect", "address", "name", "prefix", "certificate", "garbage", "dead"])
def test_no_error_tells_the_path_or_the_query(
    internet: Internet, store: HttpsStore, uri: ObjectUri, clock: ManualClock, fault: str
) -> None:
    """They are the secret of a pre-authenticated request; messages go to publishers, tracebacks to logs."""
    origin, names = internet.origin, internet.names
    if fault in ("status", "garbage", "redirect"):
        origin.scripts[PATH] = {
            "status": lambda handler: handler.answer(400),
            "garbage": lambda handler: handler.raw(b"not HTTP at all\r\n\r\n"),
            "redirect": lambda handler: handler.answer(302, {"Location": "http://h/public/call.wav?token=secret-4711"}),
        }[fault]
    elif fault == "address":
        names.answers[HOST] = [["127.0.0.1"]]
    elif fault == "name":
        names.answers.clear()
    elif fault == "dead":
        internet.dialler.dead = {PUBLIC}
    elif fault == "prefix":
        store = internet.store(clock, [f"https://{HOST}/other/"])
    else:
        network = VettedNetwork(names, internet.dialler)
        allowed = [ObjectUri.parse(f"https://{HOST}/")]
        store = HttpsStore(
            allowed,
            5.0,
            clock,
            max_bytes=100,
            download_timeout_s=1200.0,
            network=network,
            tls=ssl.create_default_context(),
        )

    with pytest.raises((RejectJob, RetryJob, EnvironmentDown)) as caught:
        store.head(uri)

    told = str(caught.value) + "".join(
        line for line in traceback.format_exception_only(caught.value.__cause__ or caught.value)
    )
    assert HOST in told
    assert "secret" not in told
    assert "call.wav" not in told
