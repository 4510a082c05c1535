. "$WORK/agent"
kill "$SSH_AGENT_PID"
rm -rf /tmp/ssh-E11bMonitor
