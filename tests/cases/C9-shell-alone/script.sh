echo x > "/dev/udp/$PEER4/9"
