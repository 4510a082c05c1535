ssh -F "$SSH_CONFIG" -W "$PEER4:$PORT" jump < /dev/null > answer
grep -q acme answer
