package main

import (
	"log/syslog"

	"tidemark/engine/config"
	"tidemark/engine/serverlog"
)

// openSyslog connects to the system logger and returns what hands it a line. Lines it does not take are lost: they are in the log
// file as well.
func openSyslog(v *config.Values) (func(serverlog.Level, string), error) {
	facility := syslog.LOG_USER
	if v.SyslogFacility > 0 {
		facility = syslog.LOG_LOCAL0 + syslog.Priority(v.SyslogFacility-1)<<3
	}
	w, err := syslog.New(facility|syslog.LOG_NOTICE, v.SyslogIdent)
	if err != nil {
		return nil, err
	}
	write := [...]func(string) error{
		serverlog.Debug: w.Debug, serverlog.Verbose: w.Info, serverlog.Notice: w.Notice, serverlog.Warning: w.Warning,
	}
	return func(level serverlog.Level, message string) { _ = write[level](message) }, nil
}
