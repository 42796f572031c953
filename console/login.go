package console

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"slices"

	"github.com/fairlead-go/fairlead/clientv3"
	"github.com/fairlead-go/fairlead/internal/site"
)

// EtcdLogin admits etcd's own users. cfg is the configuration of their clients; Username and
// Password are replaced. It refuses all logins while authentication is off in etcd.
func EtcdLogin(cfg clientv3.Config) LoginFunc {
	return func(ctx context.Context, user, password string) (*clientv3.Client, error) {
		// A client without a user checks the password first: if the cluster has no authentication,
		// New would accept any password.
		asker := cfg
		asker.Username, asker.Password, asker.Token, asker.Context = "", "", "", nil
		probe, err := clientv3.New(asker)
		if err != nil {
			return nil, err
		}
		defer probe.Close()
		if _, err := probe.Authenticate(clientv3.WithFailFast(ctx), user, password); err != nil {
			return nil, err
		}
		own := cfg
		own.Username, own.Password, own.Token, own.Context = user, password, "", nil
		if own.DialTimeout == 0 {
			own.DialTimeout = callTimeout
		}
		return clientv3.New(own)
	}
}

// whoAmI is what a page needs to know first.
type whoAmI struct {
	SignedIn bool   `json:"signedIn"`
	User     string `json:"user,omitempty"`
	ReadOnly bool   `json:"readOnly"`
	Open     bool   `json:"open"`
	Token    bool   `json:"token"` // users can sign in with a token
	Login    bool   `json:"login"` // users can sign in with a name and a password
	Requests bool   `json:"requests"`
	Operates bool   `json:"operates"`          // operations on the cluster as a whole are offered
	Cluster  string `json:"cluster,omitempty"` // the cluster's name, for users who are signed in
}

func (c *Console) getSession(_ http.ResponseWriter, r *http.Request) (any, error) {
	s, err := c.enter(r)
	if err != nil {
		return c.nobody(), nil
	}
	defer s.leave()
	return c.somebody(r.Context(), s.client, s.user), nil
}

// nobody is the answer to users who are not signed in.
func (c *Console) nobody() whoAmI {
	return whoAmI{ReadOnly: c.readOnly, Open: c.open, Token: c.token != "", Login: c.login != nil, Requests: c.metrics}
}

// somebody is the answer to users who are signed in.
func (c *Console) somebody(ctx context.Context, client *clientv3.Client, user string) whoAmI {
	me := c.nobody()
	me.SignedIn, me.User, me.Cluster, me.Operates = true, user, c.clusterName(), c.mayOperate(ctx, client, user)
	return me
}

// mayOperate reports whether a user may do operations on the cluster as a whole, which are root's.
// If it cannot find out, it returns true: etcd decides.
func (c *Console) mayOperate(ctx context.Context, client *clientv3.Client, user string) bool {
	if c.readOnly || user == "" {
		return !c.readOnly
	}
	ctx, cancel := context.WithTimeout(clientv3.WithFailFast(ctx), statusTimeout)
	defer cancel()
	u, err := client.UserGet(ctx, user)
	return err != nil || slices.Contains(u.Roles, "root")
}

var (
	errDenied = &apiError{
		Status: http.StatusUnauthorized, Code: "denied", Message: "the name, the password or the token is wrong",
	}
	errTooMany = &apiError{
		Status:  http.StatusTooManyRequests,
		Code:    "too_many",
		Message: "too many attempts failed; try again in a moment",
	}
	errNotFound = &apiError{Status: http.StatusNotFound, Code: "not_found", Message: "there is no such page"}
)

// postSession signs in.
func (c *Console) postSession(w http.ResponseWriter, r *http.Request) (any, error) {
	var in struct{ Token, User, Password string }
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	from := r.RemoteAddr
	if c.open {
		return nil, nil
	}
	// Before the limit: guesses by others must not lock out a user with the token, and no rate of
	// guesses finds it.
	if in.Token != "" && c.rightToken(in.Token) {
		return c.signIn(w, r, c.client, ""), nil
	}
	if !c.attempts.take(from) {
		return nil, errTooMany
	}
	if in.User != "" && c.login != nil {
		ctx, cancel := context.WithTimeout(r.Context(), callTimeout)
		defer cancel()
		client, err := c.login(ctx, in.User, in.Password)
		if err == nil {
			c.attempts.forgive(from)
			return c.signIn(w, r, client, in.User), nil
		}
		if !refused(err) {
			c.attempts.forgive(from) // the password was not the reason
			return nil, explain(c.client, err)
		}
	}
	return nil, errDenied
}

// refused reports whether etcd refused the name and password, or has no users.
func refused(err error) bool {
	switch clientv3.Code(err).String() {
	case "InvalidArgument", "PermissionDenied", "Unauthenticated", "FailedPrecondition":
		return true
	}
	return false
}

func (c *Console) deleteSession(w http.ResponseWriter, r *http.Request) (any, error) {
	c.sessions.remove(c.cookieOf(r), r.Header.Get(secretHeader))
	http.SetCookie(
		w,
		&http.Cookie{
			Name:     c.cookie,
			Path:     c.base,
			MaxAge:   -1,
			HttpOnly: true,
			SameSite: http.SameSiteStrictMode,
			Secure:   r.TLS != nil,
		},
	)
	return nil, nil
}

// rightToken takes the same time, however much of the token is right.
func (c *Console) rightToken(given string) bool {
	want, have := sha256.Sum256([]byte(c.token)), sha256.Sum256([]byte(given))
	return c.token != "" && subtle.ConstantTimeCompare(want[:], have[:]) == 1
}

// signedIn is the answer to a script that has signed in. The script keeps the secret in storage
// that only scripts of this origin can read, and sends it with each request. The answer includes
// whoAmI, which saves a round trip.
type signedIn struct {
	Secret string `json:"secret"`
	whoAmI
}

func (c *Console) signIn(w http.ResponseWriter, r *http.Request, client *clientv3.Client, user string) signedIn {
	id, secret := c.sessions.add(client, user)
	http.SetCookie(w, &http.Cookie{
		Name: c.cookie, Value: id, Path: c.base, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil,
	})
	return signedIn{secret, c.somebody(r.Context(), client, user)}
}

// page serves the page. Its script uses a token in the URL and removes it from the address bar. It
// does not use a token in a link of another site: otherwise any site could guess.
func (c *Console) page() http.Handler {
	index := staticFiles()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !r.URL.Query().Has("token"):
			index.ServeHTTP(w, r)
		case site.Foreign(r):
			http.Redirect(w, r, c.base+"#"+foreignToken, http.StatusSeeOther)
		default:
			send(w, r, files()["index.html"], "no-store") // caches must not keep the address
		}
	})
}

// foreignToken in the address makes the page say why it did not use the token.
const foreignToken = "token-from-another-site"
