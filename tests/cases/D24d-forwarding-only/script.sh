set -e
ssh -F "$SSH_CONFIG" -W "$PEER4:$PORT" jump < /dev/null | grep -q acme
