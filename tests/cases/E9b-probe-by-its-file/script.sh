echo 'p:case/probe /lib/x86_64-linux-gnu/libc.so.6:0x30000' >> /sys/kernel/tracing/uprobe_events
echo '-:case/probe' >> /sys/kernel/tracing/uprobe_events
