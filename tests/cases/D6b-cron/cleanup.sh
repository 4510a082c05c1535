crontab -r -u "$ACCOUNT" || true
rm -f /etc/cron.d/case-d6b
