package process

import (
	"fmt"
	"syscall"
)

// reservedFiles is how many descriptors the server may need beside its clients': listeners, event loops, log segments.
const reservedFiles = 64

// FitFileLimit raises the limit of open files to what maxClients clients need. Where the operating system does not allow that, it
// returns the largest number of clients that fits. logf takes Redis's messages at level '#'. The error means that not
// even one client could be served.
func FitFileLimit(maxClients int64, logf func(level byte, format string, args ...any)) (int64, error) {
	return fitFileLimit(maxClients, logf, syscall.Getrlimit, syscall.Setrlimit)
}

func fitFileLimit(maxClients int64, logf func(byte, string, ...any),
	get, set func(int, *syscall.Rlimit) error) (int64, error) {
	want := uint64(maxClients) + reservedFiles
	var have syscall.Rlimit
	if err := get(syscall.RLIMIT_NOFILE, &have); err != nil {
		logf('#', "Unable to obtain the current NOFILE limit (%v), assuming 1024 and setting the max clients configuration accordingly.", err)
		return max(1, 1024-reservedFiles), nil
	}
	if have.Cur >= want {
		return maxClients, nil
	}
	// A privileged process may go above the hard limit; others get as far as it.
	raised := syscall.Rlimit{Cur: want, Max: max(want, have.Max)}
	err := set(syscall.RLIMIT_NOFILE, &raised)
	if err != nil && have.Max > have.Cur {
		raised = syscall.Rlimit{Cur: min(want, have.Max), Max: have.Max}
		if set(syscall.RLIMIT_NOFILE, &raised) != nil {
			raised = have
		}
	} else if err != nil {
		raised = have
	}
	if raised.Cur >= want {
		logf('*', "Increased maximum number of open files to %d (it was originally set to %d).", want, have.Cur)
		return maxClients, nil
	}
	if raised.Cur <= reservedFiles {
		return 0, fmt.Errorf("Your current 'ulimit -n' of %d is not enough for the server to start. Please increase your open file limit to at least %d. Exiting.", raised.Cur, reservedFiles+1)
	}
	fits := int64(raised.Cur) - reservedFiles
	logf('#', "You requested maxclients of %d requiring at least %d max file descriptors.", maxClients, want)
	logf('#', "Server can't set maximum open files to %d because of OS error: %v.", want, err)
	logf('#', "Current maximum open files is %d. maxclients has been reduced to %d to compensate for low ulimit. If you need higher maxclients increase 'ulimit -n'.", raised.Cur, fits)
	return fits, nil
}
