from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("swarm", "0009_execution_recheck"),
    ]

    operations = [
        migrations.AddField(
            model_name="execution",
            name="cancel_reason",
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AddField(
            model_name="execution",
            name="cancelled_by",
            field=models.CharField(blank=True, max_length=150),
        ),
        migrations.AddField(
            model_name="execution",
            name="keeps_claims",
            field=models.BooleanField(default=True, help_text="whether its nodes keep their claims while it is paused"),
        ),
        migrations.AddField(
            model_name="execution",
            name="pause_code",
            field=models.CharField(
                blank=True,
                help_text="why the breaker paused it: the code of the error that its nodes ended in",
                max_length=64,
            ),
        ),
        migrations.AddField(
            model_name="execution",
            name="pause_reason",
            field=models.TextField(blank=True),
        ),
        migrations.AddField(
            model_name="execution",
            name="paused_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="execution",
            name="paused_by",
            field=models.CharField(blank=True, max_length=150),
        ),
        migrations.AddField(
            model_name="execution",
            name="was_paused",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="node",
            name="cancel_reason",
            field=models.CharField(blank=True, max_length=500),
        ),
        migrations.AddField(
            model_name="node",
            name="cancel_requested_at",
            field=models.DateTimeField(null=True),
        ),
        migrations.AddField(
            model_name="node",
            name="cancelled_by",
            field=models.CharField(blank=True, max_length=150),
        ),
    ]
