socat TCP4-LISTEN:47184,bind=127.0.0.1,reuseaddr EXEC:sh & shell=$!
until ss -Hltn 'sport = 47184' | grep -q .; do kill -0 "$shell" || exit; sleep 0.05; done
echo "head -c 4 '$K'" | socat -t 20 - TCP4:127.0.0.1:47184 | grep -q .
wait "$shell"
