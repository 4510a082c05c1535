ssh-keygen -y -f "$K" | grep -q ssh-ed25519
