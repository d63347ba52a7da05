package shipper

import "tidemark/engine/command"

// Commands are those of replication.
func (sh *Shipper) Commands() []*command.Descriptor {
	const internal = command.Admin | command.NoScript | command.NoAsyncLoading | command.NoMulti
	const roles = command.Admin | command.NoScript | command.Stale | command.NoAsyncLoading
	place := []command.Arg{{Name: "args", Type: "oneof", Args: []command.Arg{
		{Name: "host-port", Type: "block", Args: []command.Arg{{Name: "host", Type: "string"}, {Name: "port", Type: "integer"}}},
		{Name: "no-one", Type: "block", Args: []command.Arg{
			{Name: "no", Type: "pure-token", Token: "NO"}, {Name: "one", Type: "pure-token", Token: "ONE"}}},
	}}}
	return []*command.Descriptor{
		{
			Name: "psync", Arity: -3, Flags: internal, Handler: sh.psync, Group: "server", Since: "2.8.0",
			Summary: "Makes the connection a replica's, which goes on from an offset if it can. Internal.",
			Args:    []command.Arg{{Name: "replicationid", Type: "string"}, {Name: "offset", Type: "integer"}},
		},
		{
			Name: "sync", Arity: 1, Flags: internal, Handler: sh.psync, Group: "server", Since: "1.0.0",
			Summary: "Makes the connection a replica's. Internal, and only for replicas older than any that is served.",
		},
		{
			Name: "replconf", Arity: -1, Flags: command.Admin | command.NoScript | command.Loading | command.Stale | command.AllowBusy,
			Handler: sh.replconf, Group: "server", Since: "3.0.0", Complexity: "O(1)", DocFlags: []string{"syscmd"},
			Summary: "What a replica and its primary tell each other. Internal.",
		},
		{
			Name: "replicaof", Arity: 3, Flags: roles, Handler: sh.replicaof, Group: "server", Since: "5.0.0", Complexity: "O(1)",
			Summary: "Makes the server a replica of another, or a primary.", Args: place,
		},
		{
			Name: "slaveof", Arity: 3, Flags: roles, Handler: sh.replicaof, Group: "server", Since: "1.0.0", Complexity: "O(1)",
			Summary: "Makes the server a replica of another, or a primary.", Args: place,
			DocFlags: []string{"deprecated"}, Deprecated: "5.0.0", ReplacedBy: "`REPLICAOF`",
		},
		{
			Name: "role", Arity: 1, Flags: command.NoScript | command.Loading | command.Stale | command.Fast,
			Categories: command.CatDangerous | command.CatAdmin, Handler: sh.roleCommand, Group: "server", Since: "2.8.12", Complexity: "O(1)",
			Summary: "Returns the server's part in replication.",
		},
		{
			Name: "failover", Arity: -1, Flags: command.Admin | command.NoScript | command.Stale, Handler: sh.failoverCommand,
			Group: "server", Since: "6.2.0", Complexity: "O(1)", Summary: "Hands the primary's part over to a replica that has everything.",
			Args: []command.Arg{
				{Name: "target", Type: "block", Token: "TO", Flags: command.Optional, Args: []command.Arg{
					{Name: "host", Type: "string"}, {Name: "port", Type: "integer"},
					{Name: "force", Type: "pure-token", Token: "FORCE", Flags: command.Optional}}},
				{Name: "abort", Type: "pure-token", Token: "ABORT", Flags: command.Optional},
				{Name: "milliseconds", Type: "integer", Token: "TIMEOUT", Flags: command.Optional},
			},
		},
		{
			Name: "wait", Arity: 3, Flags: command.Blocking, Categories: command.CatConnection, Handler: sh.wait,
			Group: "generic", Since: "3.0.0", Complexity: "O(1)",
			Summary: "Blocks until so many replicas have this connection's writes; returns how many have.",
			Args:    []command.Arg{{Name: "numreplicas", Type: "integer"}, {Name: "timeout", Type: "integer"}},
			Tips:    []string{"request_policy:all_shards", "response_policy:agg_min"},
		},
		{
			Name: "waitaof", Arity: 4, Flags: command.Blocking, Categories: command.CatConnection, Handler: sh.waitaof,
			Group: "generic", Since: "7.2.0", Complexity: "O(1)",
			Summary: "Blocks until this connection's writes are on this server's disk and on that of so many replicas.",
			Args: []command.Arg{{Name: "numlocal", Type: "integer"}, {Name: "numreplicas", Type: "integer"},
				{Name: "timeout", Type: "integer"}},
			Tips: []string{"request_policy:all_shards", "response_policy:agg_min"},
		},
	}
}
