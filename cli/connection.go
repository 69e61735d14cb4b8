package cli

import (
	"cmp"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"go.temporal.io/sdk/contrib/envconfig"

	"github.com/carillon-io/carillon"
)

// Connection says how a command reaches Carillon: through Temporal, or straight to its Redis.
type Connection struct {
	// Group is the group of timers.
	Group string
	// RedisURL, if it is not empty, is the way straight to the store. It may hold a password: it is never shown.
	RedisURL string
	// Temporal is the way through Temporal.
	Temporal envconfig.ClientConfigProfile
	// Timeout is how long the client waits for an answer before it finds out why there is none. 0: its own default.
	Timeout time.Duration
}

// Destination says in words where the connection leads, without anything secret.
func (c Connection) Destination() string {
	if c.RedisURL != "" {
		return "group " + c.Group + ", straight to Redis"
	}
	return "group " + c.Group + ", through Temporal's namespace " + c.Temporal.Namespace
}

// Defaults of Temporal's settings, as its own tools have them.
const (
	defaultAddress   = "localhost:7233"
	defaultNamespace = "default"
)

// connectionFlags are the flags of every command that talks to Carillon.
func connectionFlags() []cli.Flag {
	text := func(name, usage string) cli.Flag {
		return &cli.StringFlag{Name: name, Usage: usage, Category: categoryConnection}
	}
	return []cli.Flag{
		groupFlag(),
		text(flagRedisURL, "go straight to Carillon's Redis at this `URL` and not through Temporal [$"+envRedisURL+
			"; use that for one with a password]"),
		text(flagAddress, "`host:port` of Temporal (default: "+defaultAddress+") [$TEMPORAL_ADDRESS]"),
		text(flagNamespace, "Temporal's `namespace` (default: "+defaultNamespace+") [$TEMPORAL_NAMESPACE]"),
		text(flagProfile, "`name` of a profile in Temporal's configuration file [$TEMPORAL_PROFILE]"),
		text(flagConfigFile, "Temporal's configuration `file` [$TEMPORAL_CONFIG_FILE]"),
		&cli.BoolFlag{
			Name: flagTLS, Usage: "use TLS; an API key, by $TEMPORAL_API_KEY, does so by itself [$TEMPORAL_TLS]",
			Category: categoryConnection, DisableDefaultText: true,
		},
		text(flagTLSCert, "`file` with the client's certificate [$TEMPORAL_TLS_CLIENT_CERT_PATH]"),
		text(flagTLSKey, "`file` with the client's key [$TEMPORAL_TLS_CLIENT_KEY_PATH]"),
		text(flagTLSCA, "`file` with the authority of the server's certificate [$TEMPORAL_TLS_SERVER_CA_CERT_PATH]"),
		text(flagTLSServerName, "`name` that the server's certificate has to carry [$TEMPORAL_TLS_SERVER_NAME]"),
		&cli.BoolFlag{
			Name: flagTLSNoVerify, Usage: "believe any certificate [$TEMPORAL_TLS_DISABLE_HOST_VERIFICATION]",
			Category: categoryConnection, DisableDefaultText: true,
		},
		&cli.DurationFlag{
			Name: flagTimeout, Value: defaultTimeout, Usage: "how long to wait for an answer; 0 for ever",
			Category: categoryConnection,
		},
	}
}

func groupFlag() cli.Flag {
	return &cli.StringFlag{
		Name: flagGroup, Category: categoryConnection,
		Usage: "`name` of the group of timers (default: " + carillon.DefaultGroup + ") [$" + envGroup + "]",
	}
}

// envLookup lets envconfig read the app's environment.
type envLookup struct{ Env }

func (e envLookup) LookupEnv(name string) (string, bool) { return e.Env.LookupEnv(name) }
func (e envLookup) Environ() []string                    { return e.Env.Environ() }

// lookup is an environment variable, or "".
func (e Env) lookup(name string) string {
	value, _ := e.LookupEnv(name)
	return value
}

// readGroup reads --group.
func (a *app) readGroup(c *cli.Context) (string, error) {
	group := cmp.Or(c.String(flagGroup), a.lookup(envGroup), carillon.DefaultGroup)
	return group, carillon.CheckGroup(group)
}

// readConnection reads what connectionFlags and the environment say. Flags win over variables, those over the profile.
func (a *app) readConnection(c *cli.Context) (to Connection, err error) {
	if to.Group, err = a.readGroup(c); err != nil {
		return to, err
	}
	to.RedisURL = c.String(flagRedisURL)
	if to.RedisURL == "" && !c.IsSet(flagAddress) && !c.IsSet(flagProfile) {
		// Who names a Temporal on the command line does not mean the Redis of the environment.
		to.RedisURL = a.lookup(envRedisURL)
	}
	if to.RedisURL != "" {
		if c.IsSet(flagAddress) {
			return to, flagError(flagRedisURL, "say --redis-url or --address, not both: one way is enough")
		}
		return to, nil
	}
	to.Temporal, err = a.readTemporal(c)
	return to, err
}

func (a *app) readTemporal(c *cli.Context) (envconfig.ClientConfigProfile, error) {
	if path := c.String(flagConfigFile); path != "" {
		// A file that is not there is taken for an empty one otherwise; whoever names one expects something of it.
		if _, err := os.Stat(path); err != nil {
			return envconfig.ClientConfigProfile{}, flagError(flagConfigFile, "%w", err)
		}
	}
	p, err := envconfig.LoadClientConfigProfile(envconfig.LoadClientConfigProfileOptions{
		ConfigFilePath:    c.String(flagConfigFile),
		ConfigFileProfile: c.String(flagProfile),
		EnvLookup:         envLookup{a.Env},
	})
	if err != nil {
		return p, carillon.InvalidArgument("", "Temporal's configuration: %w", err)
	}
	p.Address = cmp.Or(c.String(flagAddress), p.Address, defaultAddress)
	p.Namespace = cmp.Or(c.String(flagNamespace), p.Namespace, defaultNamespace)
	if !strings.Contains(p.Address, ":") {
		return p, flagError(flagAddress, "%q is not host:port", p.Address)
	}

	tls := envconfig.ClientConfigTLS{}
	if p.TLS != nil {
		tls = *p.TLS
	}
	set := false
	for flag, value := range map[string]*string{
		flagTLSCert: &tls.ClientCertPath, flagTLSKey: &tls.ClientKeyPath, flagTLSCA: &tls.ServerCACertPath,
		flagTLSServerName: &tls.ServerName,
	} {
		if c.IsSet(flag) {
			*value, set = c.String(flag), true
		}
	}
	// A path on the command line takes the place of data from the profile.
	if c.IsSet(flagTLSCert) {
		tls.ClientCertData = nil
	}
	if c.IsSet(flagTLSKey) {
		tls.ClientKeyData = nil
	}
	if c.IsSet(flagTLSCA) {
		tls.ServerCACertData = nil
	}
	if c.IsSet(flagTLSNoVerify) {
		tls.DisableHostVerification, set = c.Bool(flagTLSNoVerify), true
	}
	if c.IsSet(flagTLS) {
		tls.Disabled, set = !c.Bool(flagTLS), true
	}
	if set {
		p.TLS = &tls
	}
	return p, nil
}
