#!/usr/bin/perl
# Locks the files of the store that the server writes, through the server's own descriptors.
#
# The server locks one file of the store, and never looks at that lock again. On NFS 4 the kernel refuses reads and
# writes (EIO) only through a descriptor whose own lock was lost with the lease. This gives each of the server's
# descriptors such a lock: once another server may have the store, nothing comes through any more, neither what waits in
# the kernel of a node that was cut off nor what the server of a frozen node writes when it wakes.
# A descriptor is borrowed by pidfd_getfd (Linux 5.6), which needs CAP_SYS_PTRACE; the lock stays when it is given back.
# Environment: GUARD_INTERVAL in seconds.
use strict;
use warnings;
use Errno qw(EAGAIN EPERM ENOSYS);
use Fcntl qw(:flock O_ACCMODE O_RDONLY);
use constant { PIDFD_OPEN => 434, PIDFD_GETFD => 438 };    # the same on every processor

my $interval = $ENV{GUARD_INTERVAL};
my ($later, %locked, %told) = (0);

sub say_it { print STDERR "guard: @_\n"; return }

sub text_of {
    open(my $file, '<', shift) or return '';               # a process that ended
    local $/ = undef;
    return <$file> // '';
}

sub servers { return grep { text_of("/proc/$_/comm") eq "nats-streaming-\n" } map { m{(\d+)$} } glob '/proc/[0-9]*' }

# The server's own lock is on a file of another name: a second owner on the same node would be refused there.
sub unlocked {
    my $descriptor = shift;
    (readlink("/proc/self/fd/$descriptor") // '') =~ m{/[^/]+\.(?:dat|idx)$} or return 0;
    my $info = text_of("/proc/self/fdinfo/$descriptor");
    my ($flags) = $info =~ /^flags:\s*(\d+)/m or return 0;
    return (oct($flags) & O_ACCMODE) != O_RDONLY && $info !~ /^lock:.*FLOCK/m;
}

sub borrow {
    my ($handle, $number) = @_;
    my $descriptor = syscall(PIDFD_GETFD, $handle, $number, 0);
    die "guard: cannot borrow a descriptor of the server ($!): this container needs the capability SYS_PTRACE "
      . "and a kernel of 5.6 or newer\n"
      if $descriptor < 0 && ($! == EPERM || $! == ENOSYS);
    return if $descriptor < 0;                             # a number that is not in use
    open(my $file, '+<&=', $descriptor) or return;
    return $file;                                          # given back when its variable goes
}

sub lock_file {
    my $file = shift;
    return 1 if flock($file, LOCK_EX | LOCK_NB);
    if ($! == EAGAIN) {
        say_it('another holds the lock of a file of the store') unless $told{$!}++;
    } else {
        # Such as EFS, which has a quota of locks: each try is a request to the NFS server.
        say_it("no lock for more files of the store ($!): the rest stays unguarded, next try in 60 s") unless $told{$!}++;
        $later = time + 60;
    }
    return 0;
}

sub guard {
    my $process = shift;
    return if time < $later;
    # Only the server's user may list its descriptors, so every number is tried.
    my ($size) = text_of("/proc/$process/status") =~ /^FDSize:\s*(\d+)/m or return;
    my $handle = syscall(PIDFD_OPEN, $process + 0, 0);
    return if $handle < 0;
    open(my $held, '<&=', $handle) or return;
    my $count = 0;
    for my $number (0 .. $size - 1) {
        my $file = borrow($handle, $number) or next;
        $count += lock_file($file) if unlocked(fileno $file);
        last if time < $later;
    }
    return unless $count;
    say_it("guards the store's files of process $process") unless $locked{$process}++;
    %told = ();
    return;
}

say_it("looks every $interval s");
while (1) {
    my ($user, $system) = times;
    guard($_) for servers();
    my ($user_after, $system_after) = times;
    my $spent = $user_after + $system_after - $user - $system;
    # A store of thousands of files must not cost a processor: at most a tenth of one.
    select(undef, undef, undef, $spent * 9 > $interval ? $spent * 9 : $interval);
}
