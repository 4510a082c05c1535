/bin/true $(seq 100000)
