setsid nohup sleep 1000 >/dev/null 2>&1 </dev/null &
