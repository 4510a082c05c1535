/bin/true $(seq 1 33000)
