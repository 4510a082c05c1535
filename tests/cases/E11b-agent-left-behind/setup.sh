folder=/tmp/ssh-E11bMonitor
install -d -m 700 -o "$(id -u "$ACCOUNT")" "$folder"
cd /
setpriv --reuid="$(id -u "$ACCOUNT")" --regid="$(id -g "$ACCOUNT")" --clear-groups \
  ssh-agent -a "$folder/agent.1" > "$WORK/agent"
