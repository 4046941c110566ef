"""A program for a signal: sends orders of 100 and more to the destination `large.…`, others to
`small.…`, and fails for those of 13.

    pip install -r requirements.txt
    python program.py 127.0.0.1:50051
    fnua signal orders.flows.orange.example --to large.flows.orange.example \
        small.flows.orange.example --program grpc://127.0.0.1:50051

With the PEM files of a key and its certificates, calls come over TLS (`--program grpcs://...`):

    python program.py 0.0.0.0:50051 key.pem chain.pem

It uses nothing but the published proto/eson/signal/v1/program.proto.
"""

import json
import sys
from concurrent import futures
from pathlib import Path

import grpc

sys.path.append(str(Path(__file__).resolve().parents[3] / "proto"))
messages, services = grpc.protos_and_services("eson/signal/v1/program.proto")

# The flow processor's batches have at most 256 events; one event may be large.
LARGEST = 64 * 1024 * 1024


class Program(services.ProgramServiceServicer):
    def Process(self, request, context):
        return messages.ProcessResponse(outcomes=[outcome(it) for it in request.inputs])


def outcome(asked):
    """What comes of one event: outputs, or a failure."""
    try:
        amount = json.loads(asked.event.record.value)["amount"]
    except (ValueError, KeyError, TypeError) as error:
        return messages.Outcome(failure=f"no order: {error}")
    if amount == 13:
        return messages.Outcome(failure="nobody buys for 13")
    size = "large" if amount >= 100 else "small"
    return messages.Outcome(outputs=[messages.Output(flow=size, unchanged=True)])


def main():
    options = [("grpc.max_receive_message_length", LARGEST)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=4), options=options)
    services.add_ProgramServiceServicer_to_server(Program(), server)
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:50051"
    if len(sys.argv) > 2:
        key, chain = (Path(file).read_bytes() for file in sys.argv[2:])
        server.add_secure_port(address, grpc.ssl_server_credentials([(key, chain)]))
    else:
        server.add_insecure_port(address)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
