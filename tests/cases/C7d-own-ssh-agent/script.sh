eval "$(ssh-agent -a "$K_DIR/agent")" > /dev/null
note socket "$K_DIR/agent"
ssh-add -l > /dev/null
test $? = 1 || exit
kill "$SSH_AGENT_PID"
