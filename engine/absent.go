package engine

import (
	"strings"

	"tidemark/engine/config"
)

// absent are the commands of Redis 7.4 that are not here yet. A redis.conf may rename them, mostly to take them away.
var absent = func() map[string]bool {
	names := map[string]bool{}
	for _, n := range strings.Fields(`acl asking cluster eval eval_ro evalsha evalsha_ro fcall fcall_ro function latency lolwut migrate module monitor
		psubscribe publish pubsub punsubscribe readonly readwrite restore-asking script slowlog spublish ssubscribe subscribe
		sunsubscribe unsubscribe`) {
		names[n] = true
	}
	return names
}()

// rename does what one rename-command says.
func (s *Server) rename(r config.RenameCommand) error {
	if absent[strings.ToLower(r.From)] {
		if r.To != "" {
			s.log.Warningf("%s: rename-command: %s is not there yet, under this name or as %s", r.Where, r.From, r.To)
		}
		return nil
	}
	return s.table.Rename(r.From, r.To)
}
