"""Reads events and sessions of a collector, knowing only its .proto files.

usage: outsider.py PROTO_FOLDER WORK_FOLDER, with MONITOR_COLLECTOR, MONITOR_CA,
MONITOR_CERTIFICATE and MONITOR_KEY in the environment.
"""

import glob
import importlib
import os
import sys

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from grpc_tools import protoc

DEADLINE_SECONDS = 20

HEALTH_PROTO = """
syntax = "proto3";
package grpc.health.v1;
message HealthCheckRequest { string service = 1; }
message HealthCheckResponse {
  enum ServingStatus { UNKNOWN = 0; SERVING = 1; NOT_SERVING = 2; SERVICE_UNKNOWN = 3; }
  ServingStatus status = 1;
}
service Health { rpc Check(HealthCheckRequest) returns (HealthCheckResponse); }
"""


def read(path):
    with open(path, "rb") as file:
        return file.read()


def generate(proto, work):
    """Makes client code from the .proto files, as anybody would."""
    standard = os.path.join(os.path.dirname(importlib.import_module("grpc_tools").__file__), "_proto")
    health = os.path.join(work, "health.proto")
    with open(health, "w", encoding="utf-8") as file:
        file.write(HEALTH_PROTO)
    files = sorted(glob.glob(os.path.join(proto, "monitor/v1/*.proto")))
    assert files, "no .proto files in " + proto
    arguments = ["protoc", "-I" + proto, "-I" + work, "-I" + standard, "--python_out=" + work, "--grpc_python_out=" + work]
    assert protoc.main(arguments + files + [health]) == 0, "protoc failed"
    sys.path.insert(0, work)


def main():
    proto, work = sys.argv[1:3]
    generate(proto, work)
    credentials = grpc.ssl_channel_credentials(
        read(os.environ["MONITOR_CA"]),
        read(os.environ["MONITOR_KEY"]),
        read(os.environ["MONITOR_CERTIFICATE"]),
    )
    address = os.environ["MONITOR_COLLECTOR"].removeprefix("https://")
    with grpc.secure_channel(address, credentials) as channel:
        grpc.channel_ready_future(channel).result(timeout=DEADLINE_SECONDS)
        check_reflection(channel)
        check_health(channel)
        check_events(channel)
        check_search(channel)
        check_sessions(channel)


def check_reflection(channel):
    database = ProtoReflectionDescriptorDatabase(channel)
    services = set(database.get_services())
    for name in ("EventService", "SessionService", "AlertService", "GrantService", "RevocationService"):
        assert "monitor.v1." + name in services, (name, services)
    pool = DescriptorPool(database)
    subscribe = pool.FindServiceByName("monitor.v1.EventService").FindMethodByName("Subscribe")
    assert subscribe.output_type.full_name == "monitor.v1.SubscribeResponse", subscribe.output_type.full_name
    search = pool.FindServiceByName("monitor.v1.EventService").FindMethodByName("Search")
    mask = search.input_type.fields_by_name["mask"].message_type
    assert mask.full_name == "google.protobuf.FieldMask", mask.full_name
    print("reflection ok:", ", ".join(sorted(services)))


def check_health(channel):
    messages = importlib.import_module("health_pb2")
    stub = importlib.import_module("health_pb2_grpc").HealthStub(channel)
    answer = stub.Check(messages.HealthCheckRequest(), timeout=DEADLINE_SECONDS)
    assert answer.status == messages.HealthCheckResponse.SERVING, answer
    print("health ok")


def check_events(channel):
    messages = importlib.import_module("monitor.v1.events_pb2")
    event_messages = importlib.import_module("monitor.v1.event_pb2")
    stub = importlib.import_module("monitor.v1.events_pb2_grpc").EventServiceStub(channel)
    request = messages.SubscribeRequest(from_start=True, until_now=True)
    seen = 0
    for answer in stub.Subscribe(request, timeout=DEADLINE_SECONDS):
        if answer.WhichOneof("item") != "event":
            continue
        event = event_messages.Event.FromString(answer.event.event)
        seen += 1
        if event.WhichOneof("action") == "connect" and event.attribution.principal == "alice":
            assert event.connect.destination.port == 8080, event
            assert event.attribution.tenant == "acme", event
            print("events ok:", seen)
            return
    raise AssertionError("no connection of alice")


def check_search(channel):
    messages = importlib.import_module("monitor.v1.events_pb2")
    event_messages = importlib.import_module("monitor.v1.event_pb2")
    stub = importlib.import_module("monitor.v1.events_pb2_grpc").EventServiceStub(channel)
    request = messages.SearchRequest(
        filter=messages.EventFilter(principals=["alice"], kinds=["connect"]),
        order=messages.SEARCH_ORDER_OLDEST_FIRST,
        page_size=1,
    )
    request.mask.paths.extend(["position", "event.id", "event.connect.destination.port"])
    ids = []
    while True:
        answer = stub.Search(request, timeout=DEADLINE_SECONDS)
        for judged in answer.events:
            event = event_messages.Event.FromString(judged.event)
            assert judged.position > 0 and not judged.hash and not judged.HasField("judgement"), judged
            assert event.connect.destination.port > 0 and not event.connect.destination.address, event
            assert not event.HasField("attribution") and event.at_unix_ns == 0, event
            ids.append(event.id.SerializeToString())
        if not answer.next_page_token:
            break
        request.page_token = answer.next_page_token
    assert ids and len(ids) == len(set(ids)), len(ids)
    request.mask.paths.append("event.connect.port")
    try:
        stub.Search(request, timeout=DEADLINE_SECONDS)
        raise AssertionError("a path that does not exist was taken")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
    print("search ok:", len(ids))


def check_sessions(channel):
    messages = importlib.import_module("monitor.v1.session_pb2")
    stub = importlib.import_module("monitor.v1.session_pb2_grpc").SessionServiceStub(channel)
    answer = stub.ListSessions(messages.ListSessionsRequest(principal="alice"), timeout=DEADLINE_SECONDS)
    assert len(answer.sessions) == 1, answer
    session = answer.sessions[0]
    assert (session.tenant, session.ticket, session.account) == ("acme", "INC-4711", "ops"), session
    print("sessions ok")


if __name__ == "__main__":
    main()
