systemctl stop case-d12
