"""The kernel: what every service needs and none owns, in rooms.

`contracts` is what services tell each other; `calendars` and `pure` compute; `data` keeps; `web` and `messaging` are
the two edges; `audit`, `reviews` and `matters` are engines that several services use; `runtime` runs it all.
"""
