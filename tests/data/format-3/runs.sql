PRAGMA user_version = 3;
PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE job (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
INSERT INTO job VALUES('crunch','command ["sh", "fit.sh", "{data}", "{alpha}", "{fold}"]');
INSERT INTO job VALUES('exit_code',100);
INSERT INTO job VALUES('file',replace('[crunch]\ncommand = ["sh", "fit.sh", "{data}", "{alpha}", "{fold}"]\nrequire = 1\n\n[[loop]]\nname = "data"\nfiles = "d/*.txt"\n\n[[loop]]\nname = "alpha"\nvalues = [2, 3, 4]\nreduce = "max"\n\n[[loop]]\nname = "fold"\nrange = { from = 0, to = 3 }\nreduce = "mean"\n','\n',char(10)));
INSERT INTO job VALUES('gridmpi','0.1.0');
INSERT INTO job VALUES('name','job');
INSERT INTO job VALUES('path','/home/user/job.toml');
INSERT INTO job VALUES('reduces','["","max","mean"]');
INSERT INTO job VALUES('score','score');
INSERT INTO job VALUES('seed','0');
INSERT INTO job VALUES('start','25773-1795835326425896793');
INSERT INTO job VALUES('state','complete');
INSERT INTO job VALUES('taken','[]');
INSERT INTO job VALUES('tasks','18');
INSERT INTO job VALUES('why','');
CREATE TABLE loops (level INTEGER PRIMARY KEY, name TEXT, points INTEGER, reduce TEXT,
                    first INTEGER, step INTEGER);
INSERT INTO loops VALUES(0,'data',2,NULL,NULL,NULL);
INSERT INTO loops VALUES(1,'alpha',3,'max',NULL,NULL);
INSERT INTO loops VALUES(2,'fold',3,'mean',0,1);
CREATE TABLE points (level INTEGER, point INTEGER, value, key TEXT, PRIMARY KEY (level, point)) WITHOUT ROWID;
INSERT INTO points VALUES(0,0,'d/a.txt','"d/a.txt"');
INSERT INTO points VALUES(0,1,'d/b.txt','"d/b.txt"');
INSERT INTO points VALUES(1,0,2,'2');
INSERT INTO points VALUES(1,1,3,'3');
INSERT INTO points VALUES(1,2,4,'4');
CREATE TABLE digests (level INTEGER, point INTEGER, digest TEXT, PRIMARY KEY (level, point)) WITHOUT ROWID;
INSERT INTO digests VALUES(0,0,'50cc1102b1c612e6962547aacdcef9a4');
INSERT INTO digests VALUES(0,1,'b9a1a3183dd350f0e896d0f4b59c87e7');
CREATE TABLE workers (worker INTEGER PRIMARY KEY, session INTEGER, rank INTEGER, host TEXT, thread INTEGER);
INSERT INTO workers VALUES(1,1,1,'vm',0);
INSERT INTO workers VALUES(2,1,2,'vm',0);
INSERT INTO workers VALUES(3,2,1,'vm',0);
INSERT INTO workers VALUES(4,2,2,'vm',0);
CREATE TABLE runs (task INTEGER PRIMARY KEY, failed INTEGER, score REAL, value TEXT, error TEXT,
                   seconds REAL, started REAL, worker INTEGER, attempt INTEGER, exact BLOB, sum INTEGER);
INSERT INTO runs VALUES(0,0,2.0,'{"score":2,"ratio":"Infinity","name":"2-0"}',NULL,0.0013302570000000000539,1795835326.3987765312,1,1,X'06030573636f7265020405726174696f03000000000000f07f046e616d650403322d30',2486100912);
INSERT INTO runs VALUES(1,0,3.0,'{"score":3,"ratio":1,"name":"2-1"}',NULL,0.0013903260000000001051,1795835326.3982141018,2,1,NULL,636915283);
INSERT INTO runs VALUES(2,0,4.0,'{"score":4,"ratio":1,"name":"2-2"}',NULL,0.0012455409999999999658,1795835326.3996329307,2,1,NULL,1982272920);
INSERT INTO runs VALUES(3,0,3.0,'{"score":3,"ratio":"Infinity","name":"3-0"}',NULL,0.0012395570000000000719,1795835326.4001348018,1,1,X'06030573636f7265020605726174696f03000000000000f07f046e616d650403332d30',637670829);
INSERT INTO runs VALUES(4,1,NULL,NULL,replace('sh: exit status: 1\nno fit','\n',char(10)),0.00093085300000000004063,1795835326.429873228,3,2,NULL,3182651713);
INSERT INTO runs VALUES(5,0,5.0,'{"score":5,"ratio":1,"name":"3-2"}',NULL,0.00076984000000000004249,1795835326.4014463424,1,1,NULL,1489026727);
INSERT INTO runs VALUES(6,0,4.0,'{"score":4,"ratio":"Infinity","name":"4-0"}',NULL,0.0014535500000000000676,1795835326.4307992457,4,1,X'06030573636f7265020805726174696f03000000000000f07f046e616d650403342d30',561361395);
INSERT INTO runs VALUES(7,0,5.0,'{"score":5,"ratio":1,"name":"4-1"}',NULL,0.0008873940000000000083,1795835326.4308667182,3,1,NULL,2400114409);
INSERT INTO runs VALUES(8,0,6.0,'{"score":6,"ratio":1,"name":"4-2"}',NULL,0.0012439790000000000916,1795835326.4317831992,3,1,NULL,66033187);
INSERT INTO runs VALUES(9,0,4.0,'{"score":4,"ratio":"Infinity","name":"2-0"}',NULL,0.00079778599999999998126,1795835326.4035768508,1,1,X'06030573636f7265020805726174696f03000000000000f07f046e616d650403322d30',1580911526);
INSERT INTO runs VALUES(10,0,5.0,'{"score":5,"ratio":2,"name":"2-1"}',NULL,0.00073241799999999997964,1795835326.4038903713,2,1,NULL,3323965089);
INSERT INTO runs VALUES(11,0,6.0,'{"score":6,"ratio":2,"name":"2-2"}',NULL,0.0009609879999999999681,1795835326.4043931961,1,1,NULL,411235670);
INSERT INTO runs VALUES(12,0,6.0,'{"score":6,"ratio":"Infinity","name":"3-0"}',NULL,0.00074560800000000003462,1795835326.4047222137,2,1,X'06030573636f7265020c05726174696f03000000000000f07f046e616d650403332d30',3199712574);
INSERT INTO runs VALUES(13,1,NULL,NULL,replace('sh: exit status: 1\nno fit','\n',char(10)),0.00089937600000000001657,1795835326.4298660754,4,2,NULL,144620840);
INSERT INTO runs VALUES(14,0,8.0,'{"score":8,"ratio":2,"name":"3-2"}',NULL,0.00074105199999999996508,1795835326.4055373668,2,1,NULL,2742451888);
INSERT INTO runs VALUES(15,0,8.0,'{"score":8,"ratio":"Infinity","name":"4-0"}',NULL,0.001237613999999999945,1795835326.4322767257,4,1,X'06030573636f7265021005726174696f03000000000000f07f046e616d650403342d30',1812140712);
INSERT INTO runs VALUES(16,0,9.0,'{"score":9,"ratio":2,"name":"4-1"}',NULL,0.00073271899999999994847,1795835326.4330546855,3,1,NULL,1988209530);
INSERT INTO runs VALUES(17,0,10.0,'{"score":10,"ratio":2,"name":"4-2"}',NULL,0.00074907299999999994808,1795835326.4338395595,4,1,NULL,660577080);
CREATE TABLE failures (task INTEGER, attempt INTEGER, error TEXT, seconds REAL, started REAL, worker INTEGER);
INSERT INTO failures VALUES(4,1,replace('sh: exit status: 1\nno fit','\n',char(10)),0.00082519600000000004579,1795835326.400905609,2);
INSERT INTO failures VALUES(13,1,replace('sh: exit status: 1\nno fit','\n',char(10)),0.00077636299999999996632,1795835326.4053759575,1);
INSERT INTO failures VALUES(13,2,replace('sh: exit status: 1\nno fit','\n',char(10)),0.00089937600000000001657,1795835326.4298660754,4);
INSERT INTO failures VALUES(4,2,replace('sh: exit status: 1\nno fit','\n',char(10)),0.00093085300000000004063,1795835326.429873228,3);
CREATE TABLE groups (level INTEGER, number INTEGER, score REAL, value TEXT, best TEXT, error TEXT,
                     runs INTEGER, failed INTEGER, exact BLOB, sum INTEGER,
                     PRIMARY KEY (level, number)) WITHOUT ROWID;
INSERT INTO "groups" VALUES(1,0,NULL,NULL,NULL,'1 of 3 points without a result',8,1,NULL,3787956148);
INSERT INTO "groups" VALUES(1,1,NULL,NULL,NULL,'1 of 3 points without a result',8,1,NULL,2071178718);
INSERT INTO "groups" VALUES(2,0,3.0,NULL,NULL,NULL,3,0,NULL,67304074);
INSERT INTO "groups" VALUES(2,1,NULL,NULL,NULL,'1 of 3 points without a result',2,1,NULL,3684184057);
INSERT INTO "groups" VALUES(2,2,5.0,NULL,NULL,NULL,3,0,NULL,3938925886);
INSERT INTO "groups" VALUES(2,3,5.0,NULL,NULL,NULL,3,0,NULL,4149358313);
INSERT INTO "groups" VALUES(2,4,NULL,NULL,NULL,'1 of 3 points without a result',2,1,NULL,1181736696);
INSERT INTO "groups" VALUES(2,5,9.0,NULL,NULL,NULL,3,0,NULL,2692051043);
CREATE TABLE crunches (crunch INTEGER PRIMARY KEY, identity TEXT);
INSERT INTO crunches VALUES(1,'{"keys":{"crunch":"command [\"sh\", \"fit.sh\", \"{data}\", \"{alpha}\", \"{fold}\"]","seed":"0"},"score":"score","reduces":["","max","mean"],"files":{"fit.sh":{"role":"Argument","digest":"ba8decb98cff1287ed69a4c580ea39d6"},"sh":{"role":"System","digest":"d55e0bb4ed7ab7253ca2c59ce5bd8fbf"}},"packages":{},"reduction_packages":{}}');
CREATE TABLE late_modules (crunch INTEGER, name TEXT, digest TEXT,
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
INSERT INTO unplaced VALUES('{"loops":{"alpha":["1",null],"data":["\"d/a.txt\"","50cc1102b1c612e6962547aacdcef9a4"],"fold":["0",null]},"files":{}}',0,1.0,'{"score":1,"ratio":"Infinity","name":"1-0"}',NULL,0.0014034250000000000283,1795835326.3967657089,2,1,X'06030573636f7265020205726174696f03000000000000f07f046e616d650403312d30',1189202673);
INSERT INTO unplaced VALUES('{"loops":{"alpha":["1",null],"data":["\"d/a.txt\"","50cc1102b1c612e6962547aacdcef9a4"],"fold":["1",null]},"files":{}}',0,2.0,'{"score":2,"ratio":1,"name":"1-1"}',NULL,0.00098955099999999997228,1795835326.3966097831,1,1,NULL,2565613739);
INSERT INTO unplaced VALUES('{"loops":{"alpha":["1",null],"data":["\"d/a.txt\"","50cc1102b1c612e6962547aacdcef9a4"],"fold":["2",null]},"files":{}}',0,3.0,'{"score":3,"ratio":1,"name":"1-2"}',NULL,0.0011431090000000000087,1795835326.397633314,1,1,NULL,3875085797);
INSERT INTO unplaced VALUES('{"loops":{"alpha":["1",null],"data":["\"d/b.txt\"","b9a1a3183dd350f0e896d0f4b59c87e7"],"fold":["0",null]},"files":{}}',0,2.0,'{"score":2,"ratio":"Infinity","name":"1-0"}',NULL,0.0012522609999999999557,1795835326.4017486572,2,1,X'06030573636f7265020405726174696f03000000000000f07f046e616d650403312d30',1454527204);
INSERT INTO unplaced VALUES('{"loops":{"alpha":["1",null],"data":["\"d/b.txt\"","b9a1a3183dd350f0e896d0f4b59c87e7"],"fold":["1",null]},"files":{}}',0,3.0,'{"score":3,"ratio":2,"name":"1-1"}',NULL,0.0013057550000000000232,1795835326.4022419452,1,1,NULL,3163455967);
INSERT INTO unplaced VALUES('{"loops":{"alpha":["1",null],"data":["\"d/b.txt\"","b9a1a3183dd350f0e896d0f4b59c87e7"],"fold":["2",null]},"files":{}}',0,4.0,'{"score":4,"ratio":2,"name":"1-2"}',NULL,0.00080434500000000003824,1795835326.4030251502,2,1,NULL,1590543865);
CREATE VIEW all_runs AS SELECT r.task AS task,
  (SELECT value FROM points WHERE level = 0 AND point = (r.task / 9 % 2)) AS "data",
  (SELECT value FROM points WHERE level = 1 AND point = (r.task / 3 % 3)) AS "alpha",
  (0 + 1 * (r.task / 1 % 3)) AS "fold",
  CASE WHEN r.failed THEN 'failed' ELSE 'ok' END AS status,
  r.score AS score,
  coalesce(r.value, r.score) AS value,
  r.error AS error,
  r.seconds AS seconds,
  r.started AS started,
  w.rank AS rank,
  w.host AS host,
  w.thread AS thread,
  r.attempt AS attempt FROM runs r LEFT JOIN workers w ON w.worker = r.worker;
COMMIT;
