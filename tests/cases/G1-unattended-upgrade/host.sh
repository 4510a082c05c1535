systemctl start apt-daily-upgrade.service || { journalctl --no-pager -n 30 -u apt-daily-upgrade.service; exit 1; }
