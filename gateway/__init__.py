"""What runs in an edge data centre: REST service, ingest, anchor signer, relay; ``client`` is the device's.

Import the parts by their modules (``gateway.app``, ``gateway.server``, ``gateway.relay_runner``,
``gateway.client``): a device that imports its client loads neither flask nor grpc.
"""

__all__: list[str] = []
