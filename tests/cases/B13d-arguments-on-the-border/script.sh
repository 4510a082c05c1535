/bin/true "$(printf %04085d 0)"
/bin/true "$(printf %04086d 0)"
