echo core > /proc/sys/kernel/core_pattern
