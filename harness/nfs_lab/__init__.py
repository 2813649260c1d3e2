"""The NFS lab: an FT group on small virtual machines that share a real NFSv4.1 mount, and what faults do to it.

A directory shared by containers of one kernel has locks that end with their process and never expire. On NFSv4.1 a
lock lives on the server under a lease of the client's kernel, so dead nodes keep it and cut-off nodes lose it. Only
separate kernels show that, hence virtual machines.
"""
