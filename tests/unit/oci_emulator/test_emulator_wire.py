"""HTTP/1.1 as it is spoken below any client library."""

from tests.oci_emulator.client import Emulator
from tests.unit.oci_emulator.raw import RawConnection
from tests.unit.oci_emulator.sdk import BUCKET, NS, Store, refusal

HOST = "host: emu"


def writable(emu: Emulator, name: str = "call.wav") -> str:
    """The path of an object that needs no signature."""
    return emu.create_par(BUCKET, name, "ObjectReadWrite").removeprefix(emu.url)


def test_every_answer_has_an_id_of_its_own_and_echoes_the_clients(emu: Emulator, store: Store) -> None:
    first, second = (store.get_namespace(opc_client_request_id="mine").headers for _ in range(2))

    assert first["opc-client-request-id"] == second["opc-client-request-id"] == "mine"
    assert first["opc-request-id"] != second["opc-request-id"]


def test_a_body_without_a_length_is_refused(emu: Emulator) -> None:
    with RawConnection(emu.url) as connection:
        connection.send(f"PUT {writable(emu)} HTTP/1.1\n{HOST}")

        answer = connection.answer()

    assert answer
    assert (answer[0], b"ContentLengthRequired" in answer[1]) == (411, True)
    assert emu.list_objects(BUCKET) == []


def test_a_body_may_come_in_chunks(emu: Emulator) -> None:
    with RawConnection(emu.url) as connection:
        chunks = b"3\r\nsou\r\n2;x=y\r\nnd\r\n0\r\ntrailer: 1\r\n\r\n"
        connection.send(f"PUT {writable(emu)} HTTP/1.1\n{HOST}\ntransfer-encoding: chunked", chunks)

        assert (connection.answer() or (0,))[0] == 200
    assert emu.get_object(BUCKET, "call.wav") == b"sound"


def test_a_client_that_waits_is_told_to_go_on(emu: Emulator) -> None:
    with RawConnection(emu.url) as connection:
        connection.send(f"PUT {writable(emu)} HTTP/1.1\n{HOST}\ncontent-length: 5\nexpect: 100-continue")
        assert connection.socket.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.socket.sendall(b"sound")

        assert (connection.answer() or (0,))[0] == 200


def test_requests_may_follow_each_other_without_a_pause(emu: Emulator) -> None:
    path = writable(emu)
    with RawConnection(emu.url) as connection:
        connection.send(f"PUT {path} HTTP/1.1\n{HOST}\ncontent-length: 5", b"sound")
        connection.send(f"HEAD {path} HTTP/1.1\n{HOST}")
        connection.send(f"GET {path} HTTP/1.1\n{HOST}")
        reading = connection.socket.makefile("rb")
        heads = []
        for body in (b"", b"", b"sound"):
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += reading.readline()
            heads.append(head)
            assert reading.read(len(body)) == body
        reading.close()

    assert [head.split()[1] for head in heads] == [b"200"] * 3
    assert b"content-length: 5" in heads[1]


def test_a_connection_is_kept_unless_asked_otherwise(emu: Emulator) -> None:
    with RawConnection(emu.url) as connection:
        for _ in range(3):
            assert connection.ask(f"{emu.url}/n") is not None
        connection.send(f"GET /n HTTP/1.1\n{HOST}\nconnection: close")
        assert connection.answer()
        assert connection.ask(f"{emu.url}/n") is None


def test_what_is_no_http_ends_the_connection(emu: Emulator) -> None:
    with RawConnection(emu.url) as connection:
        connection.send("hello")

        assert (connection.answer() or (0,))[0] == 400
        assert connection.ask(f"{emu.url}/n") is None


def test_a_url_that_is_no_utf8_is_refused(emu: Emulator) -> None:
    with RawConnection(emu.url) as connection:
        assert b"InvalidParameter" in (connection.ask(f"{emu.url}/n/{NS}/b/{BUCKET}/o/%FF") or b"")


def test_what_no_service_knows_is_not_found(store: Store) -> None:
    call = store.base_client.call_api

    assert refusal(call, resource_path="/elsewhere", method="GET") == (404, "NotAuthorizedOrNotFound")
