systemctl stop case-d9b 2>/dev/null || true
