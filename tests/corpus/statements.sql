-- What the corpus' servers are made to write. Each part behind a line "-- session" is a connection of its own.
-- {LOAD} is a file of the server's, {BLOB} a count of kilobytes.

-- session: DDL
SET NAMES utf8mb4;
CREATE DATABASE d;
CREATE DATABASE `e ü` CHARACTER SET latin1;
USE d;
CREATE TABLE t (a INT PRIMARY KEY AUTO_INCREMENT, b LONGBLOB, c DOUBLE) ENGINE=InnoDB;
CREATE TABLE m (a INT PRIMARY KEY AUTO_INCREMENT, b VARCHAR(200), c DOUBLE) ENGINE=MyISAM;
CREATE TABLE wide (a INT PRIMARY KEY, b VARCHAR(300), c TEXT, d DECIMAL(20,6), e DATETIME(6), f BIT(9), g JSON, h ENUM('x','y'), i GEOMETRY) ENGINE=InnoDB;
CREATE TABLE parent (a INT PRIMARY KEY) ENGINE=InnoDB;
CREATE OR REPLACE TABLE parent (a INT PRIMARY KEY, b INT) ENGINE=InnoDB;
CREATE TABLE IF NOT EXISTS parent (z INT);
CREATE TABLE child (a INT PRIMARY KEY, p INT, FOREIGN KEY (p) REFERENCES parent (a) ON DELETE CASCADE) ENGINE=InnoDB;
CREATE TABLE parts (a INT, b INT AS (a * 2) STORED, KEY (a)) ENGINE=InnoDB PARTITION BY HASH (a) PARTITIONS 3;
CREATE TABLE arched (a INT, b CHAR(10)) ENGINE=Aria;
CREATE TABLE `e ü`.`t.1` (a INT PRIMARY KEY, b VARCHAR(20)) ENGINE=InnoDB;
CREATE TABLE gone1 (a INT) ENGINE=InnoDB;
CREATE TABLE gone2 (a INT) ENGINE=MyISAM;
RENAME TABLE gone1 TO gone;
DROP TABLE gone, gone2;
CREATE INDEX i ON m (b);
ANALYZE TABLE t;

-- session: instant, copying and two-phase ALTER
USE d;
INSERT INTO t (b) VALUES ('before ALTER');
ALTER TABLE t ADD COLUMN d INT DEFAULT 5 FIRST, ALGORITHM=INSTANT;
INSERT INTO t (b) VALUES ('after ALTER');
ALTER TABLE t DROP COLUMN d, ALGORITHM=INSTANT;
ALTER TABLE m ENGINE=MyISAM, ALGORITHM=COPY;
SET SESSION binlog_alter_two_phase=1;
ALTER TABLE wide ADD COLUMN j INT;
ALTER TABLE parts ADD COLUMN j INT;

-- session: rows
USE d;
SET SESSION binlog_format=ROW;
INSERT INTO wide SELECT seq, REPEAT('w', seq % 300), REPEAT('ü', seq % 90), seq / 7, '2026-01-02 03:04:05.678901', seq % 512, '{"a": [1, null]}', 'y', POINT(seq, 1), seq FROM seq_1_to_2000;
UPDATE wide SET b='changed', c=NULL WHERE a % 3 = 0;
DELETE FROM wide WHERE a % 5 = 0;
INSERT INTO wide (a, b) VALUES (1, 'x') ON DUPLICATE KEY UPDATE b='duplicate';
INSERT INTO parent VALUES (1, 1), (2, 2);
INSERT INTO child VALUES (1, 1), (2, 2), (3, 1);
DELETE FROM parent WHERE a = 1;
INSERT INTO parts (a, j) SELECT seq, 0 FROM seq_1_to_100;
INSERT INTO arched VALUES (1, 'aria');
UPDATE t, parent SET t.c = 1, parent.b = 7 WHERE t.a = 1 AND parent.a = 2;
INSERT INTO `e ü`.`t.1` VALUES (1, 'other schema');
-- All columns: with a partial row image MariaDB's own replicas keep the other ones of a row that was replaced.
REPLACE INTO `e ü`.`t.1` VALUES (1, 'replaced'), (2, 'new');
BEGIN; INSERT INTO t (b) VALUES ('one'); UPDATE t SET b = 'two' WHERE b = 'one'; SAVEPOINT s; INSERT INTO t (b) VALUES ('undone'); ROLLBACK TO s; COMMIT;
BEGIN; INSERT INTO t (b) VALUES ('nothing of this'); ROLLBACK;
INSERT INTO m (b) VALUES ('not transactional');
BEGIN; INSERT INTO t (b) VALUES ('mixed'); INSERT INTO m (b) VALUES ('mixed'); COMMIT;
BEGIN; INSERT INTO t (b) VALUES ('mixed, rolled back'); INSERT INTO m (b) VALUES ('mixed, stays'); ROLLBACK;
FLUSH BINARY LOGS;

-- session: statements, with what they depend on
USE d;
SET SESSION binlog_format=STATEMENT;
SET @v = 'a user variable', @n = 7, @d = 1.5, @f = 2e0, @z = NULL;
INSERT INTO t (b, c) VALUES (@v, @n), (@z, @f);
INSERT INTO t (b) VALUES (LAST_INSERT_ID());
INSERT INTO m (b, c) VALUES (@d, RAND());
INSERT INTO t (b, c) VALUES ('COMMIT', RAND(7));
SET SESSION insert_id = 5000;
INSERT INTO m (b) VALUES ('INSERT_ID');
SET TIMESTAMP = 1700000000.123456;
INSERT INTO m (b) VALUES (NOW(6));
SET TIMESTAMP = DEFAULT;
BEGIN; INSERT INTO t (b) VALUES ('ROLLBACK'); SAVEPOINT s; INSERT INTO t (b) VALUES ('x'); ROLLBACK TO s; INSERT INTO t (b) VALUES (@v); COMMIT;
BEGIN; INSERT INTO t (b) VALUES ('mixed statement'); INSERT INTO m (b) VALUES (@v); ROLLBACK;
BEGIN; INSERT INTO m (b) VALUES ('COMMIT'); INSERT INTO t (b) VALUES ('x'); COMMIT;
PREPARE p FROM 'INSERT INTO t (b) VALUES (?)'; EXECUTE p USING @v;
SET SESSION sql_mode = 'ANSI_QUOTES'; INSERT INTO "t" (b) VALUES ('ansi'); SET SESSION sql_mode = DEFAULT;
UPDATE m SET b = CONCAT(b, '!') WHERE a < 3;
CREATE TEMPORARY TABLE kept (a INT) ENGINE=InnoDB; INSERT INTO kept VALUES (1), (2);
INSERT INTO t (b) SELECT a FROM kept ORDER BY a;
CREATE TEMPORARY TABLE dropped SELECT * FROM kept; DROP TEMPORARY TABLE dropped;

-- session: mixed format
USE d;
SET SESSION binlog_format=MIXED;
INSERT INTO t (b) VALUES ('a statement'), (UUID());
INSERT INTO t (b) VALUES ('a statement');
CREATE TEMPORARY TABLE tmp (a INT); INSERT INTO tmp VALUES (3); INSERT INTO t (b) SELECT a FROM tmp;
BEGIN; INSERT INTO t (b) VALUES ('statement'); INSERT INTO t (b) VALUES (UUID()); COMMIT;

-- session: LOAD DATA, in blocks
USE d;
CREATE TABLE loaded (a INT, b VARCHAR(200)) ENGINE=InnoDB;
CREATE TABLE loaded_m (a INT, b VARCHAR(200)) ENGINE=MyISAM;
SET SESSION binlog_format=STATEMENT;
LOAD DATA INFILE '{LOAD}' INTO TABLE loaded;
LOAD DATA INFILE '{LOAD}' INTO TABLE loaded_m;
SET SESSION binlog_format=ROW;
LOAD DATA INFILE '{LOAD}' INTO TABLE loaded (@a, b) SET a = @a + 100000;

-- session: routines, triggers, views, sequences, events
USE d;
CREATE VIEW v AS SELECT a, c FROM t WHERE a < 10;
CREATE TABLE log (a INT PRIMARY KEY AUTO_INCREMENT, b VARCHAR(50)) ENGINE=InnoDB;
CREATE TRIGGER tr AFTER INSERT ON parent FOR EACH ROW INSERT INTO log (b) VALUES (CONCAT('parent ', NEW.a));
DELIMITER //
CREATE PROCEDURE p (IN n INT) BEGIN INSERT INTO t (b) VALUES (n); INSERT INTO m (b) VALUES (n); END//
CREATE FUNCTION f (n INT) RETURNS INT DETERMINISTIC MODIFIES SQL DATA BEGIN INSERT INTO log (b) VALUES (n); RETURN n + 1; END//
DELIMITER ;
CREATE EVENT ev ON SCHEDULE EVERY 1 DAY DO INSERT INTO log (b) VALUES ('event');
CREATE SEQUENCE q START WITH 10 INCREMENT BY 3 CACHE 5;
SET SESSION binlog_format=ROW;
INSERT INTO parent VALUES (10, 0); CALL p(1); INSERT INTO t (c) VALUES (f(1)); SELECT NEXTVAL(q), NEXTVAL(q), NEXTVAL(q);
SET SESSION binlog_format=STATEMENT;
INSERT INTO parent VALUES (11, 0); CALL p(2); INSERT INTO t (c) VALUES (f(2));
SET SESSION binlog_format=MIXED;
SELECT NEXTVAL(q), NEXTVAL(q), NEXTVAL(q); SELECT SETVAL(q, 500);
DROP PROCEDURE p; ALTER VIEW v AS SELECT a FROM t;

-- session: tables from queries
USE d;
SET SESSION binlog_format=ROW;
CREATE TABLE c1 AS SELECT a, b FROM wide;
CREATE OR REPLACE TABLE c1 AS SELECT a FROM wide;
CREATE TABLE c2 LIKE wide;
SET SESSION binlog_format=STATEMENT;
CREATE TABLE c3 AS SELECT a, b FROM wide;
CREATE TABLE c4 ENGINE=MyISAM AS SELECT a FROM wide;
TRUNCATE TABLE c4;

-- session: accounts
CREATE USER u@localhost IDENTIFIED BY 'a password';
GRANT SELECT, INSERT (a) ON d.t TO u@localhost;
CREATE ROLE r; GRANT INSERT ON d.* TO r; GRANT r TO u@localhost;
CREATE USER w@localhost; DROP USER w@localhost;
SET PASSWORD FOR u@localhost = PASSWORD('another');
FLUSH PRIVILEGES;
FLUSH BINARY LOGS;

-- session: domains and servers
USE d;
SET SESSION gtid_domain_id = 3; INSERT INTO t (a, b) VALUES (7001, 'domain 3'); CREATE TABLE three (a INT);
SET SESSION gtid_domain_id = 0; INSERT INTO t (a, b) VALUES (7002, 'domain 0');
SET SESSION gtid_domain_id = 4294967295; INSERT INTO m (b) VALUES ('the last domain');
SET SESSION gtid_domain_id = 0, SESSION server_id = 4294967295; INSERT INTO t (a, b) VALUES (7003, 'another server');
SET SESSION server_id = 1; INSERT INTO t (a, b) VALUES (7004, 'the server again');
SET SESSION gtid_seq_no = 1000000; INSERT INTO t (a, b) VALUES (7005, 'a gap');
FLUSH BINARY LOGS;

-- session: a large value
USE d;
SET SESSION binlog_format=ROW;
INSERT INTO t (a, b) VALUES (8001, REPEAT(RANDOM_BYTES(1024), {BLOB}));
BEGIN; INSERT INTO t (a, b) VALUES (8002, REPEAT('y', 70000)), (8003, REPEAT('z', 70000)); DELETE FROM t WHERE a = 8002; COMMIT;

-- session: a file that is not long, with what comes: it is cut off at every byte
FLUSH BINARY LOGS;

-- session: XA committed
USE d;
SET SESSION binlog_format=ROW;
XA START 'committed', 'branch', 3; INSERT INTO t (a, b) VALUES (9001, 'xa'); XA END 'committed', 'branch', 3; XA PREPARE 'committed', 'branch', 3;
XA COMMIT 'committed', 'branch', 3;
SET SESSION binlog_format=STATEMENT;
XA START 'statement'; INSERT INTO t (a, b) VALUES (9002, 'xa'); XA END 'statement'; XA PREPARE 'statement'; XA COMMIT 'statement';

-- session: XA rolled back, in one phase, empty
USE d;
XA START 'rolled'; INSERT INTO t (a, b) VALUES (9003, 'xa'); XA END 'rolled'; XA PREPARE 'rolled'; XA ROLLBACK 'rolled';
XA START 'never'; INSERT INTO t (a, b) VALUES (9004, 'xa'); XA END 'never'; XA ROLLBACK 'never';
XA START 'one'; INSERT INTO t (a, b) VALUES (9005, 'xa'); XA END 'one'; XA COMMIT 'one' ONE PHASE;
XA START 'mixed'; INSERT INTO t (a, b) VALUES (9006, 'xa'); INSERT INTO m (b) VALUES ('xa'); XA END 'mixed'; XA PREPARE 'mixed'; XA COMMIT 'mixed';

-- session: XA prepared in one connection
XA START X'00ff27', 'b'; INSERT INTO d.t (a, b) VALUES (9007, 'xa'); XA END X'00ff27', 'b'; XA PREPARE X'00ff27', 'b';

-- session: and committed in another
XA COMMIT X'00ff27', 'b';

-- session: XA left prepared
XA START 'prepared'; INSERT INTO d.t (a, b) VALUES (9008, 'left'); XA END 'prepared'; XA PREPARE 'prepared';

-- session: the last
USE d;
CREATE TABLE short (a INT PRIMARY KEY, b VARCHAR(40)) ENGINE=InnoDB;
SET SESSION binlog_format=ROW;
INSERT INTO short VALUES (1, 'a row');
BEGIN; INSERT INTO short VALUES (2, 'two'); UPDATE short SET b = 'changed' WHERE a = 1; DELETE FROM short WHERE a = 2; COMMIT;
INSERT INTO m (b) VALUES ('not transactional');
BEGIN; INSERT INTO short VALUES (3, 'mixed'); INSERT INTO m (b) VALUES ('mixed'); ROLLBACK;
SET SESSION binlog_format=STATEMENT;
SET @v = 'a user variable';
INSERT INTO short VALUES (4, @v);
INSERT INTO m (b, c) VALUES (@v, RAND());
BEGIN; INSERT INTO short VALUES (5, 'COMMIT'); SAVEPOINT s; INSERT INTO short VALUES (6, 'x'); ROLLBACK TO s; COMMIT;
SET SESSION gtid_domain_id = 3; INSERT INTO three VALUES (7); SET SESSION gtid_domain_id = 0;
ALTER TABLE short ADD COLUMN c INT;
SET SESSION binlog_format=ROW;
INSERT INTO short SELECT seq, REPEAT('z', 30), seq FROM seq_100_to_120;
CREATE TABLE copied AS SELECT * FROM short;
INSERT INTO t (a, b) VALUES (9100, 'last');
CREATE TABLE last (a INT);
