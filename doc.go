// Package lanyard is the vocabulary the lanyard library shares: who owns a
// record ([Owner]), who is calling ([Principal]), a plaintext that cannot be
// printed ([Secret]), one line of history ([Event]) and the errors every layer
// answers with.
//
// It does nothing by itself. A host picks a store, a place for its keys, the
// services it wants and the HTTP adapter:
//
//	st, err := sqlite.Open(ctx, "lanyard.db", nil)
//	err = st.Migrate(ctx)
//	secrets, err := keyring.Open("lanyard.keys", nil) // made once by keyring.Create
//	sealer, err := crypto.NewSealer(secrets, st, nil)
//	keys, err := apikey.NewService(st, &apikey.Options{Prefix: "aic", Sealer: sealer})
//	profiles := profile.NewService(st, &profile.Options{OwnerChanged: keys.Refresh})
//	h, err := httpadapter.New(httpadapter.Config{Identify: whoIs, Profiles: profiles, APIKeys: keys})
//	httpadapter.Mount(mux, "/account", h)
//
// # Errors
//
// Every error of every package satisfies errors.Is or errors.As with one of
// the values in this package. They are told apart by type or value, never by
// text, and none of them carries a secret, a hash or text from a server.
//
// # Options
//
// Everywhere in this library a zero option means the default and a negative
// one means off. A nil *Options means all defaults.
//
// # Compatibility
//
// This package imports the standard library only. Interfaces published by
// lanyard never grow a method; new abilities come as optional interfaces.
package lanyard
