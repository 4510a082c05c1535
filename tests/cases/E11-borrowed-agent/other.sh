ssh-keygen -q -t ed25519 -N '' -f "$WORK/key"
eval "$(ssh-agent -a "$K_DIR/agent")" > "$WORK/said"
note socket "$K_DIR/agent"
ssh-add "$WORK/key"
: > "$WORK/ready"
until [ -e "$WORK/over" ]; do sleep 0.1; done
kill "$SSH_AGENT_PID"
