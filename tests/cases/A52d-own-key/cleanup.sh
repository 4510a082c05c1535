rm -f /root/.ssh/id_ed25519*
