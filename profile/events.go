package profile

// What the history says about a profile and its owner. Object is empty.
const (
	ActionCreated   = "profile.created"
	ActionUpdated   = "profile.updated"   // by the user
	ActionRefreshed = "profile.refreshed" // by the identity provider

	ActionDeactivated = "owner.deactivated"
	ActionReactivated = "owner.reactivated"
	ActionErased      = "owner.erased" // in the history of the tenant: names nobody
)

// DetailFields is what the Detail of ActionUpdated and ActionRefreshed says
// besides: which fields changed, with a space between. What they hold is not in
// the history.
const DetailFields = "fields"
