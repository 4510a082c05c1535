python3 - <<'END'
import fcntl, os, socket, struct, subprocess
tun = os.open('/dev/net/tun', os.O_RDWR)
fcntl.ioctl(tun, 0x400454ca, struct.pack('16sH22x', b'casec6c', 0x1001))
subprocess.check_call(['ip', 'addr', 'add', '10.99.6.1/30', 'dev', 'casec6c'])
subprocess.check_call(['ip', 'link', 'set', 'casec6c', 'up'])
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b'casec6c')
s.connect(('10.99.6.2', 4061))
s.send(b'payload')
while b'payload' not in os.read(tun, 2048):
    pass
END
