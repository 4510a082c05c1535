rm -f /etc/systemd/system/case-d7f.service; systemctl daemon-reload
