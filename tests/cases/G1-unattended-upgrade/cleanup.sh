rm -rf /run/systemd/system/apt-daily-upgrade.service.d
systemctl daemon-reload
