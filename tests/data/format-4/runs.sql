PRAGMA user_version = 4;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE job (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO job VALUES('crunch','command ["sh", "fit.sh", "{data}", "{alpha}", "{fold}"]');
INSERT INTO job VALUES('exit_code',100);
INSERT INTO job VALUES('file',replace('[crunch]\ncommand = ["sh", "fit.sh", "{data}", "{alpha}", "{fold}"]\nrequire = 1\n\n[[loop]]\nname = "data"\nfiles = "d/*.txt"\n\n[[loop]]\nname = "alpha"\nvalues = [2, 3, 4]\nreduce = "max"\n\n[[loop]]\nname = "fold"\nrange = { from = 0, to = "alpha + 1" }\nreduce = "mean"\n','\n',char(10)));
INSERT INTO job VALUES('gridmpi','0.1.0');
INSERT INTO job VALUES('left_out','[]');
INSERT INTO job VALUES('name','job');
INSERT INTO job VALUES('path','/home/user/job.toml');
INSERT INTO job VALUES('reduces','["","max","mean"]');
INSERT INTO job VALUES('score','score');
INSERT INTO job VALUES('seed','0');
INSERT INTO job VALUES('seeding','{"by":null,"was":{}}');
INSERT INTO job VALUES('start','25865-1795835336475959420');
INSERT INTO job VALUES('state','complete');
INSERT INTO job VALUES('taken','[]');
INSERT INTO job VALUES('tasks','24');
INSERT INTO job VALUES('why','');
CREATE TABLE loops (level INTEGER PRIMARY KEY, name TEXT, points INTEGER, reduce TEXT,
                    first INTEGER, step INTEGER, none INTEGER);
INSERT INTO loops VALUES(0,'data',2,NULL,NULL,NULL,NULL);
INSERT INTO loops VALUES(1,'alpha',3,'max',NULL,NULL,NULL);
INSERT INTO loops VALUES(2,'fold',5,'mean',0,1,NULL);
CREATE TABLE points (level INTEGER, point INTEGER, value, key TEXT, PRIMARY KEY (level, point)) WITHOUT ROWID;
INSERT INTO points VALUES(0,0,'d/a.txt','"d/a.txt"');
INSERT INTO points VALUES(0,1,'d/b.txt','"d/b.txt"');
INSERT INTO points VALUES(1,0,2,'2');
INSERT INTO points VALUES(1,1,3,'3');
INSERT INTO points VALUES(1,2,4,'4');
CREATE TABLE shape (level INTEGER, node INTEGER, first INTEGER, point INTEGER, count INTEGER,
                    each INTEGER, inside INTEGER, PRIMARY KEY (level, node, first)) WITHOUT ROWID;
INSERT INTO shape VALUES(0,0,0,0,2,12,0);
INSERT INTO shape VALUES(1,0,0,0,1,3,0);
INSERT INTO shape VALUES(1,0,3,1,1,4,1);
INSERT INTO shape VALUES(1,0,7,2,1,5,2);
INSERT INTO shape VALUES(2,0,0,0,3,1,0);
INSERT INTO shape VALUES(2,1,0,0,4,1,0);
INSERT INTO shape VALUES(2,2,0,0,5,1,0);
CREATE TABLE digests (level INTEGER, point INTEGER, digest TEXT, PRIMARY KEY (level, point)) WITHOUT ROWID;
INSERT INTO digests VALUES(0,0,'50cc1102b1c612e6962547aacdcef9a4');
INSERT INTO digests VALUES(0,1,'b9a1a3183dd350f0e896d0f4b59c87e7');
CREATE TABLE workers (worker INTEGER PRIMARY KEY, session INTEGER, rank INTEGER, host TEXT, thread INTEGER);
INSERT INTO workers VALUES(1,1,1,'vm',0);
INSERT INTO workers VALUES(2,1,2,'vm',0);
INSERT INTO workers VALUES(3,2,2,'vm',0);
INSERT INTO workers VALUES(4,2,1,'vm',0);
CREATE TABLE runs (task INTEGER PRIMARY KEY, failed INTEGER, score REAL, value TEXT, error TEXT,
                   seconds REAL, started REAL, worker INTEGER, attempt INTEGER, exact BLOB, sum INTEGER);
INSERT INTO runs VALUES(0,0,2.0,'{"score":2,"ratio":"Infinity","name":"2-0"}',NULL,0.0018339949999999999395,1795835336.4413850306,2,1,X'06030573636f7265020405726174696f03000000000000f07f046e616d650403322d30',2486100912);
INSERT INTO runs VALUES(1,0,3.0,'{"score":3,"ratio":1,"name":"2-1"}',NULL,0.0017908959999999999376,1795835336.4421901702,1,1,NULL,636915283);
INSERT INTO runs VALUES(2,0,4.0,'{"score":4,"ratio":1,"name":"2-2"}',NULL,0.0009292260000000000103,1795835336.4432475566,2,1,NULL,1982272920);
INSERT INTO runs VALUES(3,0,3.0,'{"score":3,"ratio":"Infinity","name":"3-0"}',NULL,0.00095714800000000000487,1795835336.4440600871,1,1,X'06030573636f7265020605726174696f03000000000000f07f046e616d650403332d30',637670829);
INSERT INTO runs VALUES(4,1,NULL,NULL,replace('sh: exit status: 1\nno fit','\n',char(10)),0.0019951700000000001031,1795835336.4803605079,3,2,NULL,3182651713);
INSERT INTO runs VALUES(5,0,5.0,'{"score":5,"ratio":1,"name":"3-2"}',NULL,0.00082424500000000003405,1795835336.4450426101,1,1,NULL,1489026727);
INSERT INTO runs VALUES(6,0,6.0,'{"score":6,"ratio":1,"name":"3-3"}',NULL,0.000841119999999999997,1795835336.4459338188,2,1,NULL,4019620638);
INSERT INTO runs VALUES(7,0,4.0,'{"score":4,"ratio":"Infinity","name":"4-0"}',NULL,0.0011757869999999999693,1795835336.4823987484,4,1,X'06030573636f7265020805726174696f03000000000000f07f046e616d650403342d30',3680978661);
INSERT INTO runs VALUES(8,0,5.0,'{"score":5,"ratio":1,"name":"4-1"}',NULL,0.00083845100000000004,1795835336.4824316501,3,1,NULL,1047919275);
INSERT INTO runs VALUES(9,0,6.0,'{"score":6,"ratio":1,"name":"4-2"}',NULL,0.0010730150000000000798,1795835336.4832990169,3,1,NULL,3773342044);
INSERT INTO runs VALUES(10,0,7.0,'{"score":7,"ratio":1,"name":"4-3"}',NULL,0.0017485280000000000613,1795835336.4836206435,4,1,NULL,3167344859);
INSERT INTO runs VALUES(11,0,8.0,'{"score":8,"ratio":1,"name":"4-4"}',NULL,0.0015728170000000000084,1795835336.4843995571,3,1,NULL,2644257929);
INSERT INTO runs VALUES(12,0,4.0,'{"score":4,"ratio":"Infinity","name":"2-0"}',NULL,0.0012990400000000000037,1795835336.4475696087,1,1,X'06030573636f7265020805726174696f03000000000000f07f046e616d650403322d30',4202818666);
INSERT INTO runs VALUES(13,0,5.0,'{"score":5,"ratio":2,"name":"2-1"}',NULL,0.00080889199999999996607,1795835336.4477677345,2,1,NULL,43589663);
INSERT INTO runs VALUES(14,0,6.0,'{"score":6,"ratio":2,"name":"2-2"}',NULL,0.00091230599999999998934,1795835336.4486060142,2,1,NULL,3246068567);
INSERT INTO runs VALUES(15,0,6.0,'{"score":6,"ratio":"Infinity","name":"3-0"}',NULL,0.0011577110000000000698,1795835336.4489676952,1,1,X'06030573636f7265020c05726174696f03000000000000f07f046e616d650403332d30',1810997829);
INSERT INTO runs VALUES(16,1,NULL,NULL,replace('sh: exit status: 1\nno fit','\n',char(10)),0.0012727120000000000619,1795835336.481077671,4,2,NULL,3144436409);
INSERT INTO runs VALUES(17,0,8.0,'{"score":8,"ratio":2,"name":"3-2"}',NULL,0.00082989800000000002889,1795835336.4506349563,1,1,NULL,4193654538);
INSERT INTO runs VALUES(18,0,9.0,'{"score":9,"ratio":2,"name":"3-3"}',NULL,0.0011881809999999999594,1795835336.4506151676,2,1,NULL,1991066476);
INSERT INTO runs VALUES(19,0,8.0,'{"score":8,"ratio":"Infinity","name":"4-0"}',NULL,0.0015886209999999999133,1795835336.4853925704,4,1,X'06030573636f7265021005726174696f03000000000000f07f046e616d650403342d30',774842095);
INSERT INTO runs VALUES(20,0,9.0,'{"score":9,"ratio":2,"name":"4-1"}',NULL,0.0017358539999999999994,1795835336.4860024451,3,1,NULL,1283422724);
INSERT INTO runs VALUES(21,0,10.0,'{"score":10,"ratio":2,"name":"4-2"}',NULL,0.00087413400000000004378,1795835336.4870080948,4,1,NULL,2430089682);
INSERT INTO runs VALUES(22,0,11.0,'{"score":11,"ratio":2,"name":"4-3"}',NULL,0.00087200099999999996103,1795835336.4878089428,3,1,NULL,3475835322);
INSERT INTO runs VALUES(23,0,12.0,'{"score":12,"ratio":2,"name":"4-4"}',NULL,0.00096712299999999996272,1795835336.4879810809,4,1,NULL,693474160);
CREATE TABLE failures (task INTEGER, attempt INTEGER, error TEXT, seconds REAL, started REAL, worker INTEGER);
INSERT INTO failures VALUES(4,1,replace('sh: exit status: 1\nno fit','\n',char(10)),0.0011244409999999998954,1795835336.4442517757,2);
INSERT INTO failures VALUES(16,1,replace('sh: exit status: 1\nno fit','\n',char(10)),0.0010315929999999999197,1795835336.4495413303,2);
INSERT INTO failures VALUES(16,2,replace('sh: exit status: 1\nno fit','\n',char(10)),0.0012727120000000000619,1795835336.481077671,4);
INSERT INTO failures VALUES(4,2,replace('sh: exit status: 1\nno fit','\n',char(10)),0.0019951700000000001031,1795835336.4803605079,3);
CREATE TABLE groups (level INTEGER, number INTEGER, score REAL, value TEXT, best TEXT, error TEXT,
                     runs INTEGER, failed INTEGER, exact BLOB, sum INTEGER,
                     PRIMARY KEY (level, number)) WITHOUT ROWID;
INSERT INTO "groups" VALUES(1,0,NULL,NULL,NULL,'1 of 3 points without a result',11,1,NULL,1012114330);
INSERT INTO "groups" VALUES(1,1,NULL,NULL,NULL,'1 of 3 points without a result',11,1,NULL,2800194032);
INSERT INTO "groups" VALUES(2,0,3.0,NULL,NULL,NULL,3,0,NULL,67304074);
INSERT INTO "groups" VALUES(2,1,NULL,NULL,NULL,'1 of 4 points without a result',3,1,NULL,2800143109);
INSERT INTO "groups" VALUES(2,2,6.0,NULL,NULL,NULL,5,0,NULL,417262740);
INSERT INTO "groups" VALUES(2,3,5.0,NULL,NULL,NULL,3,0,NULL,4149358313);
INSERT INTO "groups" VALUES(2,4,NULL,NULL,NULL,'1 of 4 points without a result',3,1,NULL,990984708);
INSERT INTO "groups" VALUES(2,5,10.0,NULL,NULL,NULL,5,0,NULL,303023898);
CREATE TABLE crunches (crunch INTEGER PRIMARY KEY, identity TEXT);
INSERT INTO crunches VALUES(1,'{"keys":{"crunch":"command [\"sh\", \"fit.sh\", \"{data}\", \"{alpha}\", \"{fold}\"]","seed":"0","seed_by":"all loops"},"score":"score","reduces":["","max","mean"],"files":{"fit.sh":{"role":"Argument","digest":"ba8decb98cff1287ed69a4c580ea39d6"},"sh":{"role":"System","digest":"d55e0bb4ed7ab7253ca2c59ce5bd8fbf"}},"packages":{},"reduction_packages":{}}');
CREATE TABLE late_modules (crunch INTEGER, name TEXT, digest TEXT,
                                         PRIMARY KEY (crunch, name)) WITHOUT ROWID;
CREATE TABLE late_reductions (crunch INTEGER, name TEXT, digest TEXT,
                                            PRIMARY KEY (crunch, name)) WITHOUT ROWID;
CREATE TABLE starts (session INTEGER PRIMARY KEY, crunch INTEGER, environment TEXT);
INSERT INTO starts VALUES(1,1,'{"PATH":"/usr/bin:/bin"}');
INSERT INTO starts VALUES(2,1,'{"PATH":"/usr/bin:/bin"}');
CREATE TABLE environments (session INTEGER, rank INTEGER, environment TEXT,
                                         PRIMARY KEY (session, rank)) WITHOUT ROWID;
CREATE TABLE known_files (path TEXT PRIMARY KEY, digest TEXT, size INTEGER, modified INTEGER,
                                        changed INTEGER, inode INTEGER, taken INTEGER) WITHOUT ROWID;
CREATE TABLE combined (word TEXT, loops TEXT, points TEXT, digest TEXT);
CREATE TABLE unplaced (place TEXT, failed INTEGER, score REAL, value TEXT, error TEXT,
                                     seconds REAL, started REAL, worker INTEGER, attempt INTEGER,
                                     exact BLOB, sum INTEGER);
INSERT INTO unplaced VALUES('{"loops":{"alpha":["1",null],"data":["\"d/a.txt\"","50cc1102b1c612e6962547aacdcef9a4"],"fold":["0",null]},"files":{}}',0,1.0,'{"score":1,"ratio":"Infinity","name":"1-0"}',NULL,0.0012088260000000000844,1795835336.4401199817,2,1,X'06030573636f7265020205726174696f03000000000000f07f046e616d650403312d30',1189202673);
INSERT INTO unplaced VALUES('{"loops":{"alpha":["1",null],"data":["\"d/a.txt\"","50cc1102b1c612e6962547aacdcef9a4"],"fold":["1",null]},"files":{}}',0,2.0,'{"score":2,"ratio":1,"name":"1-1"}',NULL,0.0014682020000000000486,1795835336.4406878947,1,1,NULL,2565613739);
INSERT INTO unplaced VALUES('{"loops":{"alpha":["1",null],"data":["\"d/b.txt\"","b9a1a3183dd350f0e896d0f4b59c87e7"],"fold":["0",null]},"files":{}}',0,2.0,'{"score":2,"ratio":"Infinity","name":"1-0"}',NULL,0.0014116919999999999815,1795835336.4459121227,1,1,X'06030573636f7265020405726174696f03000000000000f07f046e616d650403312d30',1454527204);
INSERT INTO unplaced VALUES('{"loops":{"alpha":["1",null],"data":["\"d/b.txt\"","b9a1a3183dd350f0e896d0f4b59c87e7"],"fold":["1",null]},"files":{}}',0,3.0,'{"score":3,"ratio":2,"name":"1-1"}',NULL,0.00086775000000000003172,1795835336.4468462466,2,1,NULL,3163455967);
CREATE VIEW all_runs AS SELECT r.task AS task,
  (SELECT value FROM points WHERE level = 0 AND point = (s0.point + (r.task - s0.first) / s0.each)) AS "data",
  (SELECT value FROM points WHERE level = 1 AND point = (s1.point + (((r.task - s0.first) % s0.each) - s1.first) / s1.each)) AS "alpha",
  (0 + 1 * (s2.point + (((((r.task - s0.first) % s0.each) - s1.first) % s1.each) - s2.first) / s2.each)) AS "fold",
  CASE WHEN r.failed THEN 'failed' ELSE 'ok' END AS status,
  r.score AS score,
  coalesce(r.value, r.score) AS value,
  r.error AS error,
  r.seconds AS seconds,
  r.started AS started,
  w.rank AS rank,
  w.host AS host,
  w.thread AS thread,
  r.attempt AS attempt FROM runs r JOIN shape s0 ON s0.level = 0 AND s0.node = 0 AND s0.first = (SELECT max(first) FROM shape WHERE level = 0 AND node = 0 AND first <= r.task) JOIN shape s1 ON s1.level = 1 AND s1.node = s0.inside AND s1.first = (SELECT max(first) FROM shape WHERE level = 1 AND node = s0.inside AND first <= ((r.task - s0.first) % s0.each)) JOIN shape s2 ON s2.level = 2 AND s2.node = s1.inside AND s2.first = (SELECT max(first) FROM shape WHERE level = 2 AND node = s1.inside AND first <= ((((r.task - s0.first) % s0.each) - s1.first) % s1.each)) LEFT JOIN workers w ON w.worker = r.worker;
COMMIT;
