"""An emulator of Oracle Cloud Infrastructure, as far as this project uses it: Object Storage and Queue over real HTTP.

    with emulator() as emu:                                 # client.py: a process of its own
        emu.create_bucket("audio")
        config = oci.config.from_file(str(emu.write_sdk_config(folder)))
        client = ObjectStorageClient(config, service_endpoint=emu.url)
        emu.fault(FaultKind.ANSWER, "PutObject", "call.wav", times=3, status=503)
        emu.advance(3600)                                   # virtual time: leases, expiry, dates

From the wire inwards: `server` (connections, HTTP) calls `application` (who signed it, what goes wrong with it), which
calls a service (`objects*`, `queue_*`); `delivery` sends what comes back, or fails to. `control` and `remote` are the
two ends of the tests' side door. A service is a class with `handle` and `operation` (`wire.Service`), made in
`__main__` from the virtual clock, the faults and, so that its state outlives a kill, the journal.
"""
