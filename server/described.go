package server

import (
	"time"

	"berth/api"
)

// description is what the document says of an operation besides its route and
// its types.
type description struct {
	noun  string // one of nouns
	text  string
	means string // what its answer is

	// codes are those that only some operations answer.
	codes []api.Code

	// settled says that it writes nothing into the store though its method is
	// one that changes something.
	settled bool

	// request and answer are examples of the bodies that are JSON.
	request, answer any
}

// What the examples are of.
var (
	exampleTime  = time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	exampleRange = api.Range{Name: "http", Min: 8080, Max: 8085, Protocol: "tcp", Scope: "host"}

	exampleLease = api.Lease{
		ID: "4f0k2c9rv7dq1", Generation: 1, Range: "http", Protocol: "tcp", Port: 8081, Holder: "deploy", Kind: api.HolderSession,
		Owner: "ci", ExpiresAt: exampleTime.Add(30 * time.Second), Since: exampleTime,
	}
	exampleDistribution = api.Distribution{
		Name: "demo", Version: "1.0", DeployedAt: exampleTime, Processes: []string{"httpServer"}, Profiles: []string{"prod", "test"},
	}
	exampleProcess = api.Process{
		ID: 7, Distribution: "demo", Version: "1.0", Profile: "test", Name: "httpServer", PID: 4711, Status: api.StatusRunning, StartedAt: exampleTime,
		Ports: []api.ProcessPort{{Name: "http", Protocol: "tcp", Port: 8080, State: api.PortListening, Lease: "0gt5w1ak83vjm"}},
		Dir:   "/var/lib/berth/processes/7",
	}
	exampleExec = api.ExecConfig{Name: "site", StartOnBoot: true, Enabled: true, Processes: []api.ExecProcess{
		{Distribution: "demo", Version: "1.0", Name: "httpServer", Profile: "prod", Instances: 2},
	}}
	exampleProperty = api.Property{Name: "db.url", Value: "jdbc:postgresql:shop", Scope: api.ScopeProcess}
	exampleHealth   = api.Health{
		Healthy: true, Folder: "/var/lib/berth/store", Available: 52_428_800_000, Needed: 67_108_864, Damage: []string{}, Rebuilt: []string{}, Left: []string{},
	}
	exampleFixed = api.KernelFixed{
		Before: api.KernelPorts{
			LocalMin: 32768, LocalMax: 60999, Unprivileged: 1024, Reserved: "8080", Wanted: "8080,40000-40010",
			Exposed: []api.KernelRange{{Range: "rpc", Protocol: "tcp", Ports: "40000-40010"}}, Privileged: []api.KernelRange{},
		},
		Now: api.KernelPorts{LocalMin: 32768, LocalMax: 60999, Unprivileged: 1024, Reserved: "8080,40000-40010", Exposed: []api.KernelRange{}, Privileged: []api.KernelRange{}},
	}
	examplePort = api.PortWho{
		Protocol: "tcp", Port: 8080, State: api.PortListening, Range: "http", PID: 4711,
		Lease: &api.Lease{ID: "0gt5w1ak83vjm", Generation: 1, Range: "http", Protocol: "tcp", Port: 8080, Holder: "httpServer #7 (demo 1.0)", Kind: api.HolderProcess, Process: 7, Since: exampleTime},
		Sockets: []api.PortSocket{{
			Address: "[::]:8080", State: api.SocketListening, User: "root", Owners: []api.PortOwner{{PID: 4711, Command: "server", StartedAt: exampleTime}},
		}},
		Unseen: []string{},
	}
	exampleToken = api.Token{Name: "ci", Role: api.RoleLease, Owner: "ci", Created: exampleTime, Expires: exampleTime.AddDate(0, 0, 30), By: "root"}
	exampleAudit = api.AuditRecord{Time: exampleTime, User: "root", PID: 4217, Operation: "delete-ranges", Subject: "name=http", Status: 200}
	exampleEnded = api.Affected{Processes: []api.Process{exampleProcess}}
)

// described has each operation by its id.
var described = map[string]description{
	"get-daemon": {
		noun: "daemon", means: "the daemon",
		text: "Cheap: nothing is asked of the store. What answers here is well enough to answer.",
		answer: api.Daemon{
			Version: "1.4.0", PID: 812, Home: "/var/lib/berth", Socket: "/run/berth/berth.sock", StartedAt: exampleTime, Processes: 3, RSSBytes: 24_117_248,
		},
	},
	"stop-daemon": {
		noun: "daemon", settled: true, means: "it is about to end",
		text: "The answer comes before the end: the daemon is gone once its socket is, or its process (pidfd_open(2) on the pid of get-daemon). The processes go on, and the next daemon takes them up.",
	},
	"get-document": {
		noun: "daemon",
		text: "Made from the types of the daemon that answers. It is at /v1/openapi.json too.",
	},
	"get-health": {
		noun: "daemon", means: "how they are", codes: []api.Code{api.CodeUnsupported}, answer: exampleHealth,
		text: "With too little room on the disk nothing is leased or started, while what is there can end. What the store has lost is told until it is accepted.",
	},
	"accept-damage": {
		noun: "daemon", means: "how they were before", codes: []api.Code{api.CodeUnsupported}, answer: exampleHealth,
		text: "Leases that were acknowledged and are lost cannot be known, so nothing is leased until somebody says that it may. Nothing happens where nothing is damaged.",
	},

	"fix-kernel": {
		noun: "daemon", settled: true, means: "how the kernel's settings were, and how they are", codes: []api.Code{api.CodeKernel, api.CodeUnsupported},
		text:   "The ports of ranges that the kernel may take by itself are added to net.ipv4.ip_local_reserved_ports, of the daemon's network namespace, which root may. It lasts until the machine is started anew. Nothing happens where there are none.",
		answer: exampleFixed,
	},

	"list-ranges": {
		noun: "ranges", means: "the ranges, by name",
		text: "Each port of a range is in exactly one of the lists available, active and setAside. No range that fits is an empty list.",
		answer: []api.RangeStatus{{
			Range: exampleRange, Available: []int{8082, 8083, 8084},
			Active: []api.ActivePort{
				{Port: 8080, State: api.PortListening, Holder: "httpServer #7 (demo 1.0)", PID: 4711, Lease: "0gt5w1ak83vjm"},
				{Port: 8081, State: api.PortLeased, Holder: "deploy", Lease: "4f0k2c9rv7dq1"},
			},
			SetAside: []api.SetAsidePort{{Port: 8085, Reason: "in use", PID: 622, Command: "nginx", Since: exampleTime}},
		}},
	},
	"add-ranges": {
		noun: "ranges", means: "the ranges as they are kept",
		text:    "Ranges of one protocol do not overlap. With clear those that are not named go, which those with live leases do only by force.",
		codes:   []api.Code{api.CodeRangeInvalid, api.CodeRangeExists, api.CodeRangeOverlaps, api.CodeRangeLeased},
		request: api.AddRanges{Ranges: []api.Range{{Name: "http", Min: 8080, Max: 8085}}}, answer: []api.AddedRange{{Range: exampleRange}},
	},
	"update-range": {
		noun: "ranges", means: "the range as it is now, and as it was",
		text:    "Give min, max, policy or static. Leased ports fall out of a range only by force, and stay leased then until their holders end.",
		codes:   []api.Code{api.CodeRangeInvalid, api.CodeRangeNotFound, api.CodeRangeOverlaps, api.CodeRangeLeased},
		request: api.UpdateRange{Max: 8090},
		answer: api.UpdatedRange{
			Range: api.Range{Name: "http", Min: 8080, Max: 8090, Protocol: "tcp", Scope: "host"}, Before: exampleRange, Outside: []api.ActivePort{},
		},
	},
	"delete-ranges": {
		noun: "ranges", means: "the ranges that are gone",
		text:  "By force also where a range has live leases; they live on until their holders end.",
		codes: []api.Code{api.CodeRangeLeased}, answer: api.DeletedRanges{Deleted: []api.Range{exampleRange}},
	},
	"archive-ranges": {
		noun: "archives", means: "what the archive holds",
		text:   "In place of the ranges that the archive held.",
		answer: api.Archived{Revision: "r1", Ranges: []api.Range{exampleRange}},
	},
	"restore-ranges": {
		noun: "archives", means: "what the archive holds",
		text:  "All or none. A range of the same name is replaced where it has no live leases that would fall out of it; others stay.",
		codes: []api.Code{api.CodeArchiveNotFound, api.CodeRangeInvalid, api.CodeRangeExists, api.CodeRangeOverlaps, api.CodeRangeLeased}, answer: api.Archived{Revision: "r1", Ranges: []api.Range{exampleRange}},
	},

	"get-port": {
		noun: "ranges", means: "what is known of the port",
		text:   "Of any port, be it of a range or not. The sockets are those of the daemon's network namespace; what cannot be read is told in unseen.",
		answer: examplePort,
	},

	"list-leases": {
		noun: "leases", means: "the leases, by protocol and port",
		text: "Those of processes and all others, or those that fit all that is given.", answer: []api.Lease{exampleLease},
	},
	"acquire-leases": {
		noun: "leases", means: "the leases, in the order in which they were asked for",
		text:    "Each port is probed by binding it before it is leased, and what was answered is on the disk. A process that is to hold is one that the daemon sees, and of the caller's own user. Who names an owner gives up what that has of the same ranges, unless keep is set.",
		codes:   []api.Code{api.CodeHolderRefused, api.CodeHolderUnseen, api.CodeRangeNotFound, api.CodeRangeFull, api.CodePortAssigned, api.CodePortInUse, api.CodePortPrivileged, api.CodeQuotaExceeded, api.CodeKeyReused},
		request: api.AcquireLeases{Ranges: []string{"http"}, Holder: api.Holder{Kind: api.HolderSession, TTL: "30s", Name: "deploy"}, Owner: "ci"}, answer: []api.Lease{exampleLease},
	},
	"renew-lease": {
		noun: "leases", means: "the lease as it is now",
		text:    "Of a session only. One whose time has run out is gone.",
		codes:   []api.Code{api.CodeLeaseNotFound, api.CodeLeaseChanged},
		request: api.RenewLease{TTL: "30s", Generation: 1}, answer: exampleLease,
	},
	"release-leases": {
		noun: "leases", means: "the leases that are gone, in the order of their ports",
		text:   "What processes of the launcher hold is not among them: killing those ends it. None is an empty list. With an idempotency key it is done once, and answered with what was released then.",
		codes:  []api.Code{api.CodeKeyReused, api.CodeLeaseNotFound, api.CodeLeaseChanged},
		answer: []api.Lease{exampleLease},
	},
	"release-lease": {
		noun: "leases", means: "it has ended",
		text:  "Its port can be leased again at once. A generation that is given has to be the lease's.",
		codes: []api.Code{api.CodeLeaseNotFound, api.CodeLeaseChanged},
	},

	"list-distributions": {
		noun: "distributions", means: "the distributions, by name and version",
		text: "None that fits is an empty list.", answer: []api.Distribution{exampleDistribution},
	},
	"deploy-distribution": {
		noun: "distributions", means: "what was deployed",
		text:   "The body is the file as it is, of up to 2 GiB. Whether it is an archive or a descriptor is seen from what it holds; app files are known by the end of their filename.",
		codes:  []api.Code{api.CodeDistributionInvalid, api.CodeDistributionExists, api.CodeUnsupported},
		answer: api.Deployed{Distribution: exampleDistribution},
	},
	"undeploy-distributions": {
		noun: "distributions", means: "the distributions that are gone",
		text:   "Only where no process of one runs. No distribution that fits is an empty list.",
		codes:  []api.Code{api.CodeDistributionRunning},
		answer: api.Undeployed{Undeployed: []api.Distribution{exampleDistribution}},
	},
	"deploy-archive": {
		noun: "archives", means: "what was deployed",
		text:   "What was undeployed with rev comes back, with all its files.",
		codes:  []api.Code{api.CodeArchiveNotFound, api.CodeDistributionExists, api.CodeDistributionInvalid},
		answer: []api.Distribution{exampleDistribution},
	},

	"exec-processes": {
		noun: "processes", means: "the processes",
		text: "All ports of all instances are leased and all records written in one step, and only then do the commands run. With waitSeconds it answers once each process listens on all of its ports; exec-failed and timeout tell of processes that were started then, and stay.",
		codes: []api.Code{
			api.CodeDistributionNotFound, api.CodeProcessNotFound, api.CodeProfileNotFound, api.CodeExecNotFound, api.CodeExecRefused, api.CodeExecFailed,
			api.CodeRangeFull, api.CodePortAssigned, api.CodePortInUse, api.CodePortPrivileged, api.CodeUnsupported, api.CodeTimeout, api.CodeKeyReused,
		},
		request: api.Exec{Distribution: "demo", Version: "1.0", Profile: "test", Name: "httpServer", Instances: 1, WaitSeconds: 30},
		answer:  api.Started{Processes: []api.Process{exampleProcess}},
	},
	"list-processes": {
		noun: "processes", means: "the processes, by id",
		text:  "With ended also the last ones that have ended. Usage costs a look at /proc for each process and those that come from it.",
		codes: []api.Code{api.CodeProcessNotFound}, answer: []api.Process{exampleProcess},
	},
	"get-process": {
		noun: "processes", means: "the process",
		text:  "The last ones that ended are remembered by number, not by time.",
		codes: []api.Code{api.CodeProcessNotFound}, answer: exampleProcess,
	},
	"get-process-info": {
		noun: "processes", means: "all of it",
		text:  "Of the environment only the names; of arguments whose names say that they are secrets no values.",
		codes: []api.Code{api.CodeProcessNotFound},
		answer: api.ProcessInfo{
			Process: exampleProcess, PIDs: []int{4711, 4712}, Command: []string{"./server", "8080"}, Environment: []string{"BERTH_PROCESS_ID", "PATH"},
			WorkingDir: "/var/lib/berth/processes/7", LogFiles: []string{"/var/lib/berth/processes/7/process.out"}, Dependencies: []string{},
		},
	},
	"kill-processes": {
		noun: "processes", means: "the processes that were reached",
		text:    "A selector has to be given; all selects all. They are asked to end by the signal of their descriptor, and forced after its time. With waitSeconds it answers once their leases are recuperated; timeout tells that they are still being ended.",
		codes:   []api.Code{api.CodeProcessNotFound, api.CodeTimeout},
		request: api.Kill{Selector: api.Selector{IDs: []int{7}}, WaitSeconds: 60}, answer: exampleEnded,
	},
	"restart-processes": {
		noun: "processes", means: "the processes that were reached",
		text: "Id, folder and ports stay. With ports new processes are started on those instead, before the old ones end.",
		codes: []api.Code{
			api.CodeProcessNotFound, api.CodeProfileNotFound, api.CodeDistributionNotFound, api.CodeExecRefused, api.CodeExecFailed, api.CodeTimeout, api.CodeUnsupported,
			api.CodeRangeFull, api.CodePortAssigned, api.CodePortInUse, api.CodePortPrivileged,
		},
		request: api.Restart{Selector: api.Selector{Distribution: "demo"}, WaitSeconds: 60}, answer: exampleEnded,
	},
	"reload-processes": {
		noun: "processes", means: "the new processes",
		text: "Instance by instance a new process is started, and once it listens the old one is asked to end. Where a new one does not come to work the old one stays, and those that would have come after it.",
		codes: []api.Code{
			api.CodeProcessNotFound, api.CodeProfileNotFound, api.CodeDistributionNotFound, api.CodeExecRefused, api.CodeExecFailed, api.CodeTimeout, api.CodeUnsupported,
			api.CodeRangeFull, api.CodePortAssigned, api.CodePortInUse, api.CodePortPrivileged,
		},
		request: api.Reload{Selector: api.Selector{Name: "httpServer"}}, answer: api.Reloaded{Processes: []api.Process{exampleProcess}},
	},
	"get-output": {
		noun:  "processes",
		text:  "As it was written, old rotated files left out. With follow it ends when the process has ended and all was sent; the connection is busy meanwhile.",
		codes: []api.Code{api.CodeProcessNotFound},
	},
	"diagnose-processes": {
		noun: "processes", means: "what came of it",
		text:  "Processes are asked over HTTP on their leased ports, those that fit at the same time. A process that does not answer is a diagnosis, not an error.",
		codes: []api.Code{api.CodeProcessNotFound},
		answer: []api.Diagnosis{{
			Process: 7, Distribution: "demo", Version: "1.0", Profile: "test", Name: "httpServer", PID: 4711, Range: "http", Port: 8080,
			URL: "http://localhost:8080/health", Result: api.DiagnosisWell, Code: 200, Milliseconds: 1.25,
		}},
	},

	"list-execs": {
		noun: "execs", means: "the exec configurations, by name", codes: []api.Code{api.CodeStore}, answer: []api.ExecConfig{exampleExec},
		text: "None that fits is an empty list.",
	},
	"deploy-exec": {
		noun: "execs", means: "what was deployed", codes: []api.Code{api.CodeDistributionInvalid}, answer: api.DeployedExec{ExecConfig: exampleExec},
		text: "What it names need not be deployed yet. Nothing is started.",
	},
	"undeploy-execs": {
		noun: "execs", means: "the names of those that are gone", answer: api.UndeployedExecs{Undeployed: []string{"site"}},
		text: "Processes that were started by one go on.",
	},
	"enable-execs": {
		noun: "execs", means: "those that fit, as they are now", request: api.EnableExecs{Name: "site", Enabled: true}, answer: []api.ExecConfig{exampleExec},
		text: "One that is disabled starts nothing, on boot or when asked.",
	},

	"list-properties": {
		noun: "conf", means: "the properties, by name and category", codes: []api.Code{api.CodeStore}, answer: []api.Property{exampleProperty},
		text: "Values are masked where the name says that they are secrets.",
	},
	"export-properties": {
		noun: "conf", means: "the properties, by name and category", codes: []api.Code{api.CodeStore}, answer: []api.Property{exampleProperty},
		text: "The only place that tells secrets.",
	},
	"add-properties": {
		noun: "conf", means: "the properties that were set",
		text:    "A property that is there gets the new value. Processes are given it when they are started next.",
		request: api.AddProperties{Properties: []api.Pair{{Name: "db.url", Value: "jdbc:postgresql:shop"}}}, answer: []api.Property{exampleProperty},
	},
	"delete-properties": {
		noun: "conf", means: "the properties that are gone", answer: api.DeletedProperties{Deleted: []api.Property{exampleProperty}},
		text: "A name has to be given; * is all.",
	},
	"list-tags": {
		noun: "conf", means: "the tags, by name", codes: []api.Code{api.CodeStore}, answer: []api.Tag{{Name: "web"}},
		text: "A process that needs a tag is started only where the server has it.",
	},
	"add-tags": {
		noun: "conf", means: "all tags that there are now", request: api.AddTags{Tags: []string{"web"}}, answer: []api.Tag{{Name: "web"}},
		text: "A tag that is there stays.",
	},
	"delete-tags": {
		noun: "conf", means: "the tags that are gone", answer: api.DeletedTags{Deleted: []api.Tag{{Name: "web"}}},
		text: "Processes that needed one go on.",
	},
	"rename-tags": {
		noun: "conf", means: "which were renamed",
		text:    "A tag that is not there is left out of the answer.",
		request: api.RenameTags{Tags: []api.RenamedTag{{From: "web", To: "front"}}}, answer: api.RenameTags{Tags: []api.RenamedTag{{From: "web", To: "front"}}},
	},

	"archive-settings": {
		noun: "archives", means: "what the archive holds", answer: api.ArchivedSettings{Revision: "r1", Kind: api.KindTags, Count: 2},
		text: "In place of what the archive held of that kind.",
	},
	"restore-settings": {
		noun: "archives", means: "what the archive holds", codes: []api.Code{api.CodeArchiveNotFound}, answer: api.ArchivedSettings{Revision: "r1", Kind: api.KindTags, Count: 2},
		text: "In place of what is set, all or nothing.",
	},
	"archive": {
		noun: "archives", means: "how much the archive holds", answer: api.ArchivedSite{Revision: "r1", Properties: 12, Tags: 2, Ranges: 3, Execs: 1},
		text: "In place of what the archive held of them, in one batch.",
	},
	"restore": {
		noun: "archives", means: "how much the archive holds",
		codes:  []api.Code{api.CodeArchiveNotFound, api.CodeRangeInvalid, api.CodeRangeExists, api.CodeRangeOverlaps, api.CodeRangeLeased},
		answer: api.ArchivedSite{Revision: "r1", Properties: 12, Tags: 2, Ranges: 3, Execs: 1},
		text:   "In place of what is set, in one batch: after a refusal nothing has changed.",
	},

	"list-tokens": {
		noun: "access", means: "the tokens, by name", codes: []api.Code{api.CodeUnsupported}, answer: []api.Token{exampleToken},
		text: "Secrets are kept nowhere.",
	},
	"add-token": {
		noun: "access", means: "the token with its secret", codes: []api.Code{api.CodeTokenExists, api.CodeUnsupported},
		text:    "It is shown as Authorization: Bearer SECRET.",
		request: api.AddToken{Name: "ci", Role: api.RoleLease, ExpiresInSeconds: 2_592_000},
		answer:  api.AddedToken{Token: exampleToken, Secret: "berth_5nT0d3Vw0eYw4v8mJq1uH2xk9ZbC6rLsPfGaTiEoNyQ"},
	},
	"delete-tokens": {
		noun: "access", means: "the tokens that are gone", codes: []api.Code{api.CodeTokenNotFound, api.CodeUnsupported}, answer: api.DeletedTokens{Deleted: []api.Token{exampleToken}},
		text: "Streams that were opened with one end as well.",
	},
	"list-quotas": {
		text: "With how many leases each owner has now.",
		noun: "access", means: "the quotas, by owner", answer: []api.Quota{{Owner: "ci", Max: 10, Have: 2}}, codes: []api.Code{api.CodeUnsupported},
	},
	"set-quota": {
		noun: "access", means: "the quota", codes: []api.Code{api.CodeUnsupported},
		text:    "Leases that the owner has already stay, also where they are more. With tcp or udp no more of that protocol may be among them: the demand of a module.",
		request: api.SetQuota{Max: 10},
		answer:  api.Quota{Owner: "ci", Max: 10, Have: 2},
	},
	"delete-quota": {
		noun: "access", means: "it has none of its own", codes: []api.Code{api.CodeUnsupported},
		text: "The quota of * counts for the owner then, if there is one.",
	},
	"get-whoami": {
		noun: "access", means: "the caller", answer: api.Whoami{Token: "ci", Address: "192.0.2.7", Role: api.RoleLease, Owner: "ci"},
		text: "By the token that was shown, else by the process at the other end of the socket.",
	},
	"list-audit": {
		noun: "access", means: "the records, the oldest one first", codes: []api.Code{api.CodeUnsupported}, answer: []api.AuditRecord{exampleAudit},
		text: "Everything that was asked for and could have changed something has a record, what was refused too.",
	},
	"follow-audit": {
		noun: "access", codes: []api.Code{api.CodeUnsupported},
		text: "Each line is an object of the schema AuditRecord. It goes on until the client hangs up.",
	},

	"stream-events": {
		noun: "events",
		text: "Server-sent events (text/event-stream): the field id is the sequence, event the kind, and data an object of the schema Event. The latest 4,096 are kept in memory. " +
			"A reader that comes again with Last-Event-ID gets what it has missed. Where some of that is not kept any more, as after a restart of the daemon, the first event has the noun stream and the kind missed, and tells how many there were if that is known. " +
			"One that reads too slowly gets the kind dropped, and the stream ends. A comment comes every 15 s where nothing happens.",
	},
}
