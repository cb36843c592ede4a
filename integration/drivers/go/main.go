// pgx and lib/pq as applications use them: the second argument says which.
package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgconn"
	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
	"github.com/lib/pq"
)

var (
	url        = os.Args[1]
	background = context.Background()
	text       = strings.Repeat("lagoon", 500000)
)

func unique(what string) string { return fmt.Sprintf("%s_%d", what, time.Now().UnixNano()) }

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func same(found, expected interface{}) {
	if !reflect.DeepEqual(found, expected) {
		panic(fmt.Sprintf("found %.100v, not %.100v", found, expected))
	}
}

func fails(code string, err error) {
	var of_pgx *pgconn.PgError
	var of_pq *pq.Error
	found := fmt.Sprint(err)
	if errors.As(err, &of_pgx) {
		found = of_pgx.Code
	} else if errors.As(err, &of_pq) {
		found = string(of_pq.Code)
	}
	same(found, code)
}

// pgx

func with(work func(*pgx.Conn)) {
	conn, err := pgx.Connect(background, url)
	must(err)
	defer conn.Close(background)
	work(conn)
}

func run(conn *pgx.Conn, sql string, values ...interface{}) {
	_, err := conn.Exec(background, sql, values...)
	must(err)
}

func number(row pgx.Row) (n int64) {
	must(row.Scan(&n))
	return
}

func failing(row pgx.Row) error {
	var n int64
	return row.Scan(&n)
}

var pgxFeatures = map[string]func(){
	"connect": func() {
		for turn := 0; turn < 10; turn++ {
			with(func(conn *pgx.Conn) { same(number(conn.QueryRow(background, "SELECT 1")), int64(1)) })
		}
	},
	"prepare": func() {
		table := unique("pgx")
		with(func(one *pgx.Conn) {
			with(func(two *pgx.Conn) {
				run(one, "CREATE TABLE "+table+" (id int PRIMARY KEY, name text)")
				_, err := one.Prepare(background, "own", "SELECT $1::int + 1")
				must(err)
				_, err = two.Prepare(background, "own", "SELECT $1::int * 2")
				must(err)
				for id := 0; id < 30; id++ {
					run(one, "INSERT INTO "+table+" VALUES ($1, $2)", id, fmt.Sprint("name ", id))
					same(number(one.QueryRow(background, "own", id)), int64(id+1))
					same(number(two.QueryRow(background, "own", id)), int64(id*2))
					var name string
					must(one.QueryRow(background, "SELECT name FROM "+table+" WHERE id = $1", id).Scan(&name))
					same(name, fmt.Sprint("name ", id))
				}
				// More than it keeps: it gives the oldest up.
				for width := 0; width < 600; width++ {
					same(number(two.QueryRow(background, fmt.Sprintf("SELECT $1::int + %d", width), 1)), int64(width+1))
				}
				must(one.Deallocate(background, "own"))
				_, err = one.Prepare(background, "own", "SELECT $1::int * 3")
				must(err)
				same(number(one.QueryRow(background, "own", 7)), int64(21))
			})
		})
	},
	"pipeline": func() {
		with(func(conn *pgx.Conn) {
			for turn := 0; turn < 3; turn++ {
				batch := &pgx.Batch{}
				for n := 0; n < 200; n++ {
					batch.Queue("SELECT $1::int + 1", n)
				}
				batch.Queue("SELECT 1 / $1::int", 0)
				batch.Queue("SELECT 1")
				results := conn.SendBatch(background, batch)
				for n := 0; n < 200; n++ {
					same(number(results.QueryRow()), int64(n+1))
				}
				fails("22012", failing(results.QueryRow()))
				results.Close()
				same(number(conn.QueryRow(background, "SELECT 1")), int64(1))
			}
		})
	},
	"transaction": func() {
		table := unique("pgx")
		with(func(conn *pgx.Conn) {
			count := func() int64 { return number(conn.QueryRow(background, "SELECT count(*) FROM "+table)) }
			run(conn, "CREATE TABLE "+table+" (id int PRIMARY KEY)")
			for id := 0; id < 20; id++ {
				run(conn, "INSERT INTO "+table+" VALUES ($1)", id)
				same(count(), int64(id+1))
			}
			must(conn.BeginFunc(background, func(outer pgx.Tx) error {
				_, err := outer.Exec(background, "INSERT INTO "+table+" VALUES (20)")
				must(err)
				inner, err := outer.Begin(background)
				must(err)
				_, err = inner.Exec(background, "INSERT INTO "+table+" VALUES (1)")
				fails("23505", err)
				return inner.Rollback(background)
			}))
			undone, err := conn.Begin(background)
			must(err)
			_, err = undone.Exec(background, "DELETE FROM "+table)
			must(err)
			must(undone.Rollback(background))
			same(count(), int64(21))
			options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
			err = conn.BeginTxFunc(background, options, func(tx pgx.Tx) error {
				_, err := tx.Exec(background, "DELETE FROM "+table)
				return err
			})
			fails("25006", err)
		})
	},
	"error": func() {
		with(func(conn *pgx.Conn) {
			for turn := 0; turn < 20; turn++ {
				fails("22012", failing(conn.QueryRow(background, "SELECT 1 / $1::int", 0)))
				fails("42601", failing(conn.QueryRow(background, "SELEC 1")))
				fails("42P01", failing(conn.QueryRow(background, "SELECT * FROM no_such_table")))
				same(number(conn.QueryRow(background, "SELECT $1::int", 7)), int64(7))
			}
		})
	},
	"large": func() {
		with(func(conn *pgx.Conn) {
			rows, err := conn.Query(background, "SELECT i, repeat('x', 100) FROM generate_series(1, 50000) AS i")
			must(err)
			seen := 0
			for rows.Next() {
				seen++
			}
			must(rows.Err())
			same(seen, 50000)
			var back string
			must(conn.QueryRow(background, "SELECT $1::text", text).Scan(&back))
			same(back == text, true)
		})
	},
	"copy": func() {
		table := unique("pgx")
		with(func(conn *pgx.Conn) {
			run(conn, "CREATE TABLE "+table+" (id int PRIMARY KEY, name text)")
			rows := [][]interface{}{}
			for id := 0; id < 5000; id++ {
				rows = append(rows, []interface{}{int32(id), strings.Repeat("x", 200)})
			}
			names := []string{"id", "name"}
			copied, err := conn.CopyFrom(background, pgx.Identifier{table}, names, pgx.CopyFromRows(rows))
			must(err)
			same(copied, int64(5000))
			_, err = conn.CopyFrom(background, pgx.Identifier{table}, names, pgx.CopyFromRows(rows[:1]))
			fails("23505", err)
			var out strings.Builder
			_, err = conn.PgConn().CopyTo(background, &out, "COPY "+table+" TO STDOUT")
			must(err)
			same(strings.Count(out.String(), "\n"), 5000)
			same(number(conn.QueryRow(background, "SELECT count(*) FROM "+table)), int64(5000))
		})
	},
	"cancel": func() {
		with(func(conn *pgx.Conn) {
			sleeps := onceItSleeps(func() { conn.PgConn().CancelRequest(background) })
			_, err := conn.Exec(background, sleeps)
			fails("57014", err)
			same(number(conn.QueryRow(background, "SELECT 1")), int64(1))
		})
	},
	"notify": func() {
		channel := unique("pgx")
		with(func(ear *pgx.Conn) {
			run(ear, "LISTEN "+channel)
			with(func(mouth *pgx.Conn) {
				for _, payload := range []string{"hello", "again"} {
					run(mouth, "SELECT pg_notify($1, $2)", channel, payload)
					patient, done := context.WithTimeout(background, time.Minute)
					heard, err := ear.WaitForNotification(patient)
					done()
					must(err)
					same(heard.Channel+heard.Payload, channel+payload)
				}
			})
		})
	},
	"pool": func() {
		table := unique("pgx")
		config, err := pgxpool.ParseConfig(url)
		must(err)
		config.MinConns, config.MaxConns = 30, 30
		pool, err := pgxpool.ConnectConfig(background, config)
		must(err)
		defer pool.Close()
		_, err = pool.Exec(background, "CREATE TABLE "+table+" (job int PRIMARY KEY)")
		must(err)
		together(func(job int) {
			conn, err := pool.Acquire(background)
			must(err)
			defer conn.Release()
			must(conn.BeginFunc(background, func(tx pgx.Tx) error {
				_, err := tx.Exec(background, "INSERT INTO "+table+" VALUES ($1)", job)
				return err
			}))
			same(number(conn.QueryRow(background, "SELECT job FROM "+table+" WHERE job = $1", job)), int64(job))
		})
		locked, err := pool.Exec(background, "SELECT FROM "+table+" FOR UPDATE")
		must(err)
		same(locked.RowsAffected(), int64(300))
	},
}

// Returns a statement that sleeps, and does something as soon as it does.
func onceItSleeps(act func()) string {
	mark := unique("asleep")
	asleep := "/* pglagoon: primary */ SELECT count(*) FROM pg_stat_activity " +
		"WHERE wait_event = 'PgSleep' AND strpos(query, '" + mark + "') > 0"
	go with(func(watcher *pgx.Conn) {
		for number(watcher.QueryRow(background, asleep)) != 1 {
		}
		act()
	})
	return "/* pglagoon: primary */ SELECT pg_sleep(60) AS " + mark
}

// Runs 300 jobs with 30 at a time.
func together(job func(int)) {
	var group sync.WaitGroup
	failures := make(chan interface{}, 300)
	for worker := 0; worker < 30; worker++ {
		group.Add(1)
		go func(first int) {
			defer group.Done()
			defer func() {
				if failure := recover(); failure != nil {
					failures <- failure
				}
			}()
			for at := first; at < first+10; at++ {
				job(at)
			}
		}(worker * 10)
	}
	group.Wait()
	close(failures)
	for failure := range failures {
		panic(failure)
	}
}

// lib/pq

func open(connections int) *sql.DB {
	db, err := sql.Open("postgres", url+"?sslmode=disable")
	must(err)
	db.SetMaxOpenConns(connections)
	return db
}

func count(row *sql.Row) (n int) {
	must(row.Scan(&n))
	return
}

func refused(row *sql.Row) error {
	var n int
	return row.Scan(&n)
}

func do(db *sql.DB, sql string, values ...interface{}) {
	_, err := db.Exec(sql, values...)
	must(err)
}

var pqFeatures = map[string]func(){
	"connect": func() {
		for turn := 0; turn < 10; turn++ {
			db := open(1)
			same(count(db.QueryRow("SELECT 1")), 1)
			must(db.Close())
		}
	},
	"prepare": func() {
		one, two := open(1), open(1)
		defer one.Close()
		defer two.Close()
		plus, err := one.Prepare("SELECT $1::int + 1")
		must(err)
		double, err := two.Prepare("SELECT $1::int * 2")
		must(err)
		for n := 0; n < 30; n++ {
			same(count(plus.QueryRow(n)), n+1)
			same(count(double.QueryRow(n)), n*2)
			same(count(one.QueryRow("SELECT $1::int - 1", n)), n-1)
		}
		must(plus.Close())
		same(count(one.QueryRow("SELECT $1::int", 7)), 7)
	},
	"transaction": func() {
		table := unique("pq")
		db := open(1)
		defer db.Close()
		all := "SELECT count(*) FROM " + table
		do(db, "CREATE TABLE "+table+" (id int PRIMARY KEY)")
		for id := 0; id < 20; id++ {
			do(db, "INSERT INTO "+table+" VALUES ($1)", id)
			same(count(db.QueryRow(all)), id+1)
		}
		undone, err := db.Begin()
		must(err)
		_, err = undone.Exec("DELETE FROM " + table)
		must(err)
		_, err = undone.Exec("SAVEPOINT one")
		must(err)
		_, err = undone.Exec("SELECT no_such_column")
		fails("42703", err)
		_, err = undone.Exec("ROLLBACK TO one")
		must(err)
		same(count(undone.QueryRow(all)), 0)
		must(undone.Rollback())
		same(count(db.QueryRow(all)), 20)
		reading, err := db.BeginTx(background, &sql.TxOptions{ReadOnly: true, Isolation: sql.LevelRepeatableRead})
		must(err)
		same(count(reading.QueryRow(all)), 20)
		_, err = reading.Exec("DELETE FROM " + table)
		fails("25006", err)
		must(reading.Rollback())
	},
	"error": func() {
		db := open(1)
		defer db.Close()
		for turn := 0; turn < 20; turn++ {
			fails("22012", refused(db.QueryRow("SELECT 1 / $1::int", 0)))
			fails("42601", refused(db.QueryRow("SELEC 1")))
			fails("42P01", refused(db.QueryRow("SELECT * FROM no_such_table WHERE id = $1", 1)))
			same(count(db.QueryRow("SELECT $1::int", 7)), 7)
		}
	},
	"large": func() {
		db := open(1)
		defer db.Close()
		rows, err := db.Query("SELECT i, repeat('x', 100) FROM generate_series(1, $1::int) AS i", 50000)
		must(err)
		seen := 0
		for rows.Next() {
			seen++
		}
		must(rows.Err())
		same(seen, 50000)
		var back string
		must(db.QueryRow("SELECT $1::text", text).Scan(&back))
		same(back == text, true)
	},
	"copy": func() {
		table := unique("pq")
		db := open(1)
		defer db.Close()
		do(db, "CREATE TABLE "+table+" (id int PRIMARY KEY, name text)")
		into := func(rows int) error {
			tx, err := db.Begin()
			must(err)
			defer tx.Rollback()
			copying, err := tx.Prepare(pq.CopyIn(table, "id", "name"))
			must(err)
			for id := 0; id < rows; id++ {
				if _, err = copying.Exec(id, strings.Repeat("x", 200)); err != nil {
					return err
				}
			}
			if _, err = copying.Exec(); err != nil {
				return err
			}
			must(copying.Close())
			return tx.Commit()
		}
		must(into(5000))
		fails("23505", into(1))
		same(count(db.QueryRow("SELECT count(*) FROM "+table)), 5000)
	},
	"cancel": func() {
		db := open(1)
		defer db.Close()
		hurried, cancel := context.WithCancel(background)
		_, err := db.ExecContext(hurried, onceItSleeps(cancel))
		fails("57014", err)
		same(count(db.QueryRow("SELECT 1")), 1)
	},
	"notify": func() {
		channel := unique("pq")
		db := open(1)
		defer db.Close()
		ear := pq.NewListener(url+"?sslmode=disable", time.Second, time.Minute, nil)
		defer ear.Close()
		must(ear.Listen(channel))
		for _, payload := range []string{"hello", "again"} {
			do(db, "SELECT pg_notify($1, $2)", channel, payload)
			select {
			case heard := <-ear.Notify:
				same(heard.Channel+heard.Extra, channel+payload)
			case <-time.After(time.Minute):
				panic("nothing was heard")
			}
		}
	},
	"pool": func() {
		table := unique("pq")
		db := open(30)
		db.SetMaxIdleConns(30)
		defer db.Close()
		do(db, "CREATE TABLE "+table+" (job int PRIMARY KEY)")
		together(func(job int) {
			conn, err := db.Conn(background)
			must(err)
			defer conn.Close()
			tx, err := conn.BeginTx(background, nil)
			must(err)
			_, err = tx.Exec("INSERT INTO "+table+" VALUES ($1)", job)
			must(err)
			must(tx.Commit())
			same(count(conn.QueryRowContext(background, "SELECT job FROM "+table+" WHERE job = $1", job)), job)
		})
		tx, err := db.Begin()
		must(err)
		same(count(tx.QueryRow("SELECT count(*) FROM "+table)), 300)
		must(tx.Rollback())
	},
}

func main() {
	driver := os.Args[2]
	features := map[string]map[string]func(){"pgx": pgxFeatures, "lib-pq": pqFeatures}[driver]
	fmt.Println(driver, "version", map[string]string{"pgx": "4", "lib-pq": "1"}[driver])
	for _, name := range strings.Fields(os.Getenv("FEATURES")) {
		try(driver, name, features[name])
	}
}

func try(driver, name string, feature func()) {
	if feature == nil {
		fmt.Println(driver, name, "n/a")
		return
	}
	defer func() {
		if failure := recover(); failure != nil {
			fmt.Println(driver, name, "fails", strings.ReplaceAll(fmt.Sprint(failure), "\n", " "))
		}
	}()
	feature()
	fmt.Println(driver, name, "ok")
}
