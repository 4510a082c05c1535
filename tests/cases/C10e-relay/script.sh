socat UNIX-LISTEN:door,unlink-close=0 "TCP4:$PEER4:$PORT" & relay=$!
until [ -S door ]; do kill -0 "$relay" || exit; sleep 0.05; done
note door door
until grep -q "00010000 .*door$" /proc/net/unix; do kill -0 "$relay" || exit; sleep 0.05; done
socat -u UNIX-CONNECT:door - | grep -q acme
