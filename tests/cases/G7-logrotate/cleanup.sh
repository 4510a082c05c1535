rm -rf /run/systemd/system/logrotate.service.d
systemctl daemon-reload
