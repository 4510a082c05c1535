set -e
modprobe vrf
ip link add vrf-first type vrf table 901
ip link add vrf-second type vrf table 902
ip link set vrf-first up
ip link set vrf-second up
python3 - vrf-first vrf-second <<'END' || true
import socket, sys
for device in sys.argv[1:]:
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    s.settimeout(1)
    s.connect_ex(("10.99.0.1", 8080))
END
ip link del vrf-first
ip link del vrf-second
