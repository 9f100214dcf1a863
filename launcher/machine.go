package launcher

// event is something that happened to a process, or was asked of it.
type event int

const (
	executed     event = iota // its command runs
	exited                    // it is gone
	stopAsked                 // it shall end
	forceAsked                // it shall end at once
	restartAsked              // it shall end and start again
	reforceAsked              // it shall end at once and start again
	timedOut                  // it did not end in time
	startFailed               // it could not be started again
	raceLost                  // it is gone because something else had taken one of its ports
	relapsed                  // it is gone, nobody asked it to end, and its policy has it started again
	pauseOver                 // it has waited for that
	sickened                  // it is unhealthy, and its policy has it restarted
	lastEvent    = sickened
)

func (e event) String() string {
	return [...]string{"executed", "exited", "stop asked", "force asked", "restart asked", "forced restart asked", "timed out", "start failed", "race lost", "relapsed", "pause over", "sickened"}[e]
}

// action is what the owner of a process does about an event.
type action int

const (
	nothing   action = iota
	terminate        // send SIGTERM and wait for the shutdown timeout
	force            // send SIGKILL
	start            // start it again on its ports
	move             // lease others for the ports that were taken, and start it again
	rest             // start it again at once, or have it wait for that
	revive           // start it again, on others in place of the ports that were taken meanwhile
	end              // end its leases and its record
)

// step is the outcome of an event: the status from then on, and what to do.
type step struct {
	next Status
	do   action
}

// machine is the table of status × event. A pair that is not in it changes
// nothing: the event comes too late, or was asked for before.
var machine = map[Status]map[event]step{
	Starting: {
		executed:     {Running, nothing},
		exited:       {Ended, end},
		stopAsked:    {Stopping, terminate},
		forceAsked:   {Stopping, force},
		restartAsked: {Restarting, terminate},
		reforceAsked: {Restarting, force},
		startFailed:  {Ended, end},
		raceLost:     {Starting, move},
		relapsed:     {Waiting, rest},
	},
	Running: {
		exited:       {Ended, end},
		raceLost:     {Starting, move},
		relapsed:     {Waiting, rest},
		sickened:     {Restarting, terminate},
		stopAsked:    {Stopping, terminate},
		forceAsked:   {Stopping, force},
		restartAsked: {Restarting, terminate},
		reforceAsked: {Restarting, force},
	},
	Stopping: {
		exited:     {Ended, end},
		forceAsked: {Stopping, force},
		timedOut:   {Stopping, force},
	},
	Waiting: {
		exited:       {Ended, end}, // it shall not be started again
		pauseOver:    {Starting, revive},
		stopAsked:    {Ended, end},
		forceAsked:   {Ended, end},
		restartAsked: {Starting, start},
		reforceAsked: {Starting, start},
	},
	Restarting: {
		exited:       {Starting, start},
		relapsed:     {Waiting, rest},     // it was unhealthy
		stopAsked:    {Stopping, nothing}, // it has been asked to end, and its time runs
		forceAsked:   {Stopping, force},
		reforceAsked: {Restarting, force},
		timedOut:     {Restarting, force},
	},
}

// after tells what an event means for a process of a status, and whether it
// means anything.
func after(s Status, e event) (step, bool) {
	next, ok := machine[s][e]
	return next, ok
}
