export SSH_AUTH_SOCK=/tmp/ssh-E11bMonitor/agent.1
note socket "$SSH_AUTH_SOCK"
ssh-add -l
test "$?" = 1
